#compdef choria
# zsh completion for choria: install it as _choria in a directory of $fpath
_choria() {
    local -a typed list
    local word
    for word in "${words[@]:1:$((CURRENT-2))}"; do
        [[ $word == -* ]] || typed+=("$word")
    done
    if [[ ${words[CURRENT]} != -* && ${typed[1]} == (rpc|req|request) ]]; then
        case ${#typed[@]} in
            1) list=("${(@f)$(choria completion --zsh --list agents 2>/dev/null)}"); _describe agent list; return ;;
            2) list=("${(@f)$(choria completion --zsh --list actions --agent ${typed[2]} 2>/dev/null)}"); _describe action list; return ;;
            *) list=("${(@f)$(choria completion --zsh --list inputs --agent ${typed[2]} --action ${typed[3]} 2>/dev/null)}"); _describe input list -S =; return ;;
        esac
    fi
    list=("${(@f)$(choria completion --list words -- $typed 2>/dev/null)}")
    compadd -a list
}
_choria "$@"
