# fish completion for choria and mco: install it as
# /usr/share/fish/vendor_completions.d/choria.fish
function __choria_complete
    set -l typed (commandline -opc)
    set -e typed[1]
    set -l current (commandline -ct)
    set -l list (choria completion --list line -- $typed "$current" 2>/dev/null)
    if test "$list" = :files
        __fish_complete_path "$current"
    else
        printf '%s\n' $list
    end
end
complete -c choria -f -a '(__choria_complete)'
complete -c mco -f -a '(__choria_complete)'
