# bash completion for choria and mco: source this file, or install it as
# /usr/share/bash-completion/completions/choria
_choria() {
    local current="${COMP_WORDS[COMP_CWORD]}" list
    list=$(choria completion --list line -- "${COMP_WORDS[@]:1:COMP_CWORD-1}" "$current" 2>/dev/null)
    [[ $current == = ]] && current=
    if [[ $list == :files ]]; then
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
    fi
    COMPREPLY=()
    [[ -n $list ]] && mapfile -t COMPREPLY <<<"$list"
    [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
    return 0
}
# for applications that are links to choria: complete -F _choria_application NAME
_choria_application() {
    COMP_WORDS=(choria builder run "${COMP_WORDS[0]##*/}" "${COMP_WORDS[@]:1}")
    COMP_CWORD=$((COMP_CWORD + 3))
    _choria
}
complete -F _choria choria mco
