# Completion of mmsb, python -m mmsb and its other commands: python -m mmsb -sc install=fish | source
function _mmsb_asked
    string match -qr '^\s*(\S*python[0-9.]*\s+-m\s+mmsb[a-z.]*|\S*mmsb)\s' -- (commandline -cp)
end

function _mmsb_complete
    set -l command (commandline -cpo)
    if string match -qr 'python[0-9.]*$' -- $command[1]
        set command $command[1..3]
    else
        set command $command[1]
    end
    set -lx COMP_LINE mmsb (string replace -r '^\s*(\S*python[0-9.]*\s+-m\s+)?\S+\s+' '' -- (commandline -cp))
    $command -sc query=bash 2>/dev/null | string split -n ' '
end

# Files too: a value may be one.
complete -c mmsb -n _mmsb_asked -a '(_mmsb_complete)'
complete -c python -n _mmsb_asked -a '(_mmsb_complete)'
complete -c python3 -n _mmsb_asked -a '(_mmsb_complete)'
