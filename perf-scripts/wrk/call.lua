-- Every connection sends the same request: wrk -s call.lua URL -- HEADERS BODY
-- HEADERS names a file of header lines, BODY a file with the body, the ones that the check by curl
-- sends. The bytes are put together here, not by wrk, whose headers come in the order of a hash
-- table. wrk writes the request without entering Lua again.
local here = debug.getinfo(1, "S").source:match("^@(.*/)") or "./"
dofile(here .. "report.lua")
dofile(here .. "request.lua")

function init(args)
    local bytes = request_bytes(read_file(args[1]), read_file(args[2]))
    wrk.format = function()
        return bytes
    end
end
