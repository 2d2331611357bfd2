# Completion of mmsb, python -m mmsb and its other commands: eval "$(python -m mmsb -sc install=zsh)"
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit -u }
[[ ${_comps[python]} == _mmsb_complete ]] || typeset -g _mmsb_of_python=${_comps[python]:-_default}

_mmsb_complete()
{
    local -a command=("${words[1]}") choices
    local first=2
    if [[ ${words[1]:t} == python* ]]; then
        if [[ $CURRENT -lt 4 || ${words[2]} != -m || ${words[3]} != mmsb* ]]; then
            $_mmsb_of_python "$@"
            return
        fi
        command=("${(@)words[1,3]}") first=4
    fi
    choices=(${=${(f)"$(COMP_LINE="mmsb ${(j: :)words[first,CURRENT]}" $command -sc query=bash 2>/dev/null)"}})
    # Where nothing of ours fits, a value is a file.
    compadd -S '' -a choices || { compset -P '*='; _files }
}

compdef _mmsb_complete mmsb python python3
