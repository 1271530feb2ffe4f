-- Posts the requests of a folder, one after the other and from the first on again, and writes what
-- wrk says of them as JSON. Of request k: its body is `k.body`, and its headers are the lines of
-- `k.headers`.

local requests, sent = {}, -1  -- wrk looks at one request before it begins

local function read(path)
   local file = io.open(path, "rb")
   if not file then return nil end
   local content = file:read("*a")
   file:close()
   return content
end

function init(args)
   local k = 0
   local body = read(args[1] .. "/0.body")
   while body do
      local headers = {}
      for line in io.lines(args[1] .. "/" .. k .. ".headers") do
         local name, value = line:match("^(.-): (.*)$")
         headers[name] = value
      end
      requests[#requests + 1] = wrk.format("POST", nil, headers, body)
      k = k + 1
      body = read(args[1] .. "/" .. k .. ".body")
   end
end

function request()
   sent = sent + 1
   return requests[(sent - 1) % #requests + 1]
end

function done(summary, latency, _)
   local errors = summary.errors
   io.write(string.format(
      '{"requests": %d, "duration_us": %d, "connect": %d, "read": %d, "write": %d, ' ..
      '"status": %d, "timeout": %d}\n',
      summary.requests, summary.duration, errors.connect, errors.read, errors.write,
      errors.status, errors.timeout))
end
