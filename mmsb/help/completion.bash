# Completion of mmsb, python -m mmsb and its other commands: eval "$(python -m mmsb -sc install=bash)"
_mmsb_of_python=$(complete -p python 2>/dev/null | sed -n 's/.* -F \([^ ]*\) .*/\1/p')
[[ $_mmsb_of_python == _mmsb_complete ]] && _mmsb_of_python=

_mmsb_complete()
{
    local line="${COMP_LINE:0:COMP_POINT}" word="$2" rest
    local -a command
    COMPREPLY=()
    if [[ $line =~ ^[[:space:]]*([^[:space:]]*python[0-9.]*)[[:space:]]+-m[[:space:]]+(mmsb[a-z.]*)[[:space:]]+(.*)$ ]]; then
        command=("${BASH_REMATCH[1]}" -m "${BASH_REMATCH[2]}") rest="${BASH_REMATCH[3]}"
    elif [[ $line =~ ^[[:space:]]*([^[:space:]]*mmsb)[[:space:]]+(.*)$ ]]; then
        command=("${BASH_REMATCH[1]}") rest="${BASH_REMATCH[2]}"
    else
        [[ -n $_mmsb_of_python ]] && "$_mmsb_of_python" "$@"
        return
    fi
    # Bash ends words at "=" and ":", settings do not: only what follows the last such letter is to be put in.
    local whole="${rest##* }" choice
    local before="${whole%"$word"}"
    while read -r choice; do
        [[ $choice == "$whole"* ]] && COMPREPLY+=("${choice#"$before"}")
    done < <(COMP_LINE="mmsb $rest" "${command[@]}" -sc query=bash 2>/dev/null | tr ' ' '\n')
}

complete -o nospace -o default -F _mmsb_complete mmsb python python3
