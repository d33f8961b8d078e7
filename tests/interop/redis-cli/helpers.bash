# What the points share: where things are put, how a reply is looked at, what is cleaned up.
# shellcheck shell=bash

work=$(mktemp -d)
children=()
finish() {
  [ ${#children[@]} -eq 0 ] || kill "${children[@]}" 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT

cli() { redis-cli -p "$PROXY_PORT" "${resp[@]}" "$@"; }
key() { printf '%sRESP%s:%s' "$KEY_PREFIX" "$protocol" "$1"; }
fail() {
  printf 'RESP%s: %s\n' "$protocol" "$*" >&2
  exit 1
}

expect() { # WHAT EXPECTED FOUND
  [ "$2" = "$3" ] || fail "$1: expected $(printf %q "$2"), found $(printf %q "$3")"
}

# The reply of RLOCK as it comes through a pipe, a line each for token and validity: prints the token.
token_of() {
  [[ $1 =~ ^([0-9a-f]{40})$'\n'([0-9]+)$ ]] || fail "no lock: $(printf %q "$1")"
  expect "a validity of at most 30000 ms" true "$( ((BASH_REMATCH[2] > 0 && BASH_REMATCH[2] <= 30000)) && echo true)"
  printf %s "${BASH_REMATCH[1]}"
}

eventually() { # WHAT COMMAND…
  local what=$1 end=$((SECONDS + 30))
  shift
  until "$@"; do
    ((SECONDS < end)) || fail "never came true: $what"
    sleep 0.05
  done
}
