-- What a run of wrk measured, as one line for the script that started it:
-- measured REQUESTS DURATION_US P50_US P99_US P99.9_US MAX_US ERRORS BYTES
-- ERRORS are socket errors, timeouts and answers of 400 and above; any of them voids the run. BYTES
-- is what was read in all: answers below 400 that are not the expected one show in their size.
function done(summary, latency, _)
    local errors = summary.errors
    io.write(string.format(
        "measured %d %d %d %d %d %d %d %d\n",
        summary.requests,
        summary.duration,
        latency:percentile(50),
        latency:percentile(99),
        latency:percentile(99.9),
        latency.max,
        errors.connect + errors.read + errors.write + errors.timeout + errors.status,
        summary.bytes
    ))
end
