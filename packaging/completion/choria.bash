# bash completion for choria: source this file, or install it as
# /usr/share/bash-completion/completions/choria
_choria() {
    local current="${COMP_WORDS[COMP_CWORD]}" words=() word
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        [[ $word == -* ]] || words+=("$word")
    done
    if [[ $current != -* && ${words[0]} =~ ^(rpc|req|request)$ ]]; then
        case ${#words[@]} in
            1) COMPREPLY=($(compgen -W "$(choria completion --list agents 2>/dev/null)" -- "$current")) ;;
            2) COMPREPLY=($(compgen -W "$(choria completion --list actions --agent "${words[1]}" 2>/dev/null)" -- "$current")) ;;
            *)
                COMPREPLY=($(compgen -S = -W "$(choria completion --list inputs --agent "${words[1]}" --action "${words[2]}" 2>/dev/null)" -- "$current"))
                compopt -o nospace
                ;;
        esac
        return
    fi
    COMPREPLY=($(compgen -W "$(choria completion --list words -- "${words[@]}" 2>/dev/null)" -- "$current"))
}
complete -o default -F _choria choria
