#compdef choria mco
# zsh completion for choria and mco: install it as _choria in a directory of $fpath
_choria() {
    local -a list
    list=("${(@f)$(choria completion --list line -- "${(@)words[2,CURRENT-1]}" "${words[CURRENT]}" 2>/dev/null)}")
    if [[ ${list[1]} == :files ]]; then
        _files
    elif [[ ${list[1]} == *= ]]; then
        compadd -S '' -a list
    else
        compadd -a list
    fi
}
_choria "$@"
