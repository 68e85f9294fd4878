-- Each request belongs to the next of many sessions:
-- wrk -s call_sessions.lua URL -- HEADERS BODY IDS
-- IDS names a file with one session id a line; HEADERS and BODY are as in call.lua, and the body
-- holds the id "id":1, which is replaced.
--
-- What this is not: one session per connection. wrk gives a script no way to tell for which
-- connection a request is made, so the sessions take turns. With one shard each session is at home
-- on the shard of every connection, so the work of the server is the same: a lookup by id among as
-- many sessions as there are connections.
--
-- No id may be in flight twice in a session (MCP 2025-11-25 basic). Each session has
-- IDS_PER_SESSION ids in turn: one comes again after sessions x IDS_PER_SESSION requests. Over the
-- whole run ids do come again, which the revision forbids and no server can afford to remember.
local IDS_PER_SESSION = 16
local here = debug.getinfo(1, "S").source:match("^@(.*/)") or "./"
dofile(here .. "report.lua")
dofile(here .. "request.lua")

local requests = {}
local at = 0

function init(args)
    local headers, body = read_file(args[1]), read_file(args[2])
    for id = 1000, 999 + IDS_PER_SESSION do
        local numbered = body:gsub('"id":1', '"id":' .. id, 1)
        for session in read_file(args[3]):gmatch("[^\n]+") do
            local with_session = headers .. "MCP-Session-Id: " .. session .. "\n"
            requests[#requests + 1] = request_bytes(with_session, numbered)
        end
    end
end

function request()
    at = at % #requests + 1
    return requests[at]
end
