# Functions for scripts of applications: . "{{ BashHelperPath }}"
# AB_SAY_PREFIX, AB_ANNOUNCE_PREFIX and AB_ERROR_PREFIX say what lines begin with, and
# AB_HELPER_TIME_STAMP whether the time (T), or day and time (D), stand before it.

AB_SAY_PREFIX=">>>"
AB_ANNOUNCE_PREFIX=">>>"
AB_ERROR_PREFIX="!!!"

# one line: its beginning, and words
ab_line() {
  case "${AB_HELPER_TIME_STAMP:-}" in
    [Tt1]) printf '[%s] ' "$(date +%H:%M:%S)" ;;
    [Dd2]) printf '[%s] ' "$(date '+%Y-%m-%d %H:%M:%S')" ;;
  esac
  printf '%s\n' "$*"
}

# words between two lines
ab_framed() {
  ab_begin="$1"
  shift
  ab_line "$ab_begin"
  ab_line "$ab_begin" "$@"
  ab_line "$ab_begin"
}

ab_say() { ab_line "$AB_SAY_PREFIX" "$@"; }
ab_announce() { ab_framed "$AB_ANNOUNCE_PREFIX" "$@"; }
ab_error() { ab_framed "$AB_ERROR_PREFIX" "$@"; }
ab_panic() {
  ab_error "$@"
  exit 1
}
