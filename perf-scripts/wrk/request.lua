-- Puts one request together from header lines and a body.
function read_file(path)
    local file = assert(io.open(path, "rb"))
    local content = file:read("*a")
    file:close()
    return content
end

-- headers: lines that end with a line feed each. Host and Content-Length are added.
function request_bytes(headers, body)
    return "POST " .. wrk.path .. " HTTP/1.1\r\n"
        .. "Host: " .. wrk.host .. ":" .. wrk.port .. "\r\n"
        .. headers:gsub("\n", "\r\n")
        .. "Content-Length: " .. #body .. "\r\n\r\n"
        .. body
end
