#!/bin/sh
# A program of revision 2025-11-25 with the tool "call", whose argument "do" says what it does.
# The first argument of the program is "stubborn" if it ignores SIGTERM and the end of its input.
echo "started $$ with ${GREETING-none}" >&2
case "$1" in
    stubborn)
        trap '' TERM
        # A process of the same group that ignores SIGTERM too.
        sleep 1000 &
        echo "sleeper $!" >&2
        ;;
esac

text() {
    printf '{"jsonrpc":"2.0","id":%s,"result":{"content":[' "$1"
    printf '{"type":"text","text":"%s"}]}}\n' "$2"
}

while IFS= read -r line; do
    id=${line#*\"id\":}
    id=${id%%,*}
    case "$line" in
        *'"method":"initialize"'*)
            printf '{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-11-25",' "$id"
            printf '"capabilities":{"tools":{}},"serverInfo":{"name":"sh","version":"1"}}}\n'
            ;;
        *'"method":"tools/list"'*)
            printf '{"jsonrpc":"2.0","id":%s,"result":{"tools":[{"name":"call",' "$id"
            printf '"inputSchema":{"type":"object"}}]}}\n'
            ;;
        *'"do":"exit"'*) exit 3 ;;
        *'"do":"noise"'*)
            printf 'a banner\n{"jsonrpc":"2.0","id":"ping","method":"ping"}\n{}\n'
            # The answer to that ping is the next line.
            IFS= read -r answer
            case "$answer" in
                *'"id":"ping","result"'*) text "$id" quiet ;;
                *) text "$id" "no answer" ;;
            esac
            ;;
        *'"do":"endless"'*) while printf xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; do :; done ;;
        *'"do":"close"'*)
            exec <&- >&-
            sleep 1000
            ;;
        *'"do":"cancelled"'*)
            echo "the call has come" >&2
            IFS= read -r cancelled
            echo "then $cancelled" >&2
            ;;
        *'"do":"variables"'*) text "$id" "$(env | cut -d= -f1 | sort | tr '\n' ' ')" ;;
        *'"do":"limits"'*)
            text "$id" "$(cat /proc/$$/limits /proc/$$/status | tr -s ' \t\n' ' ')"
            ;;
        *'"do":"flood"'*)
            yes "a line of its errors, of sixty-four bytes with the line end. 0123" |
                head -c "$ERROR_BYTES" >&2
            text "$id" done
            ;;
        *'"do":"leave"'*)
            # One that leaves the group, and ends with its input.
            exec 3<&0
            setsid sh -c 'echo "left $$" >&2; cat >/dev/null' <&3 >/dev/null &
            exec 3<&-
            text "$id" left
            ;;
        *'"do":"escape"'*)
            # One that leaves the group, and ends with nothing.
            setsid sh -c 'trap "" TERM; echo "escaped $$" >&2; sleep 1000' </dev/null >/dev/null &
            text "$id" escaped
            ;;
        *'"do":"files"'*) text "$id" "$(ls -l /proc/$$/fd | tr '\n' ' ')" ;;
        *'"method":"tools/call"'*) text "$id" "$$" ;;
        *'"method":"notifications/'*) ;;
        *) printf '{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"unknown"}}\n' "$id" ;;
    esac
done
case "$1" in
    stubborn) while :; do sleep 1000; done ;;
esac
