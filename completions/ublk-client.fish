# SPDX-License-Identifier: LGPL-2.1-or-later
# Completion for fish. Verbs and options come from `ublk-client --complete`, one's own devices from udev's links: no call to
# ublkd, which a TAB should not start.

# What may stand where the cursor is: a candidate and its description for each line.
function __ublk_client_candidates
    set -l words (commandline -opc)
    set -l current (commandline -ct)

    if test (count $words) -lt 2
        ublk-client --complete verbs 2>/dev/null | cut -f1,3
        return
    end
    set -l verb $words[2]
    set -l before $words[-1]
    set -l start ''
    if string match -q -- '--*=*' $current
        set before (string split -m1 = -- $current)[1]
        set start $before=
    end
    set -l options (ublk-client --complete options $verb 2>/dev/null)
    for line in $options
        set -l columns (string split \t -- $line)
        if test -n "$columns[3]"; and contains -- $before $columns[1..2]
            switch $columns[3]
                case TARGET
                    printf '%s\n' $start(ublk-client --complete targets 2>/dev/null)
                case STATE
                    printf '%s\n' $start"live"\t"can be used" $start"created"\t"is there" $start"stopping"\t"goes away" $start"gone"\t"is no more"
                case FILE
                    if test -n "$start"
                        for path in (__fish_complete_path (string replace -- $start '' $current))
                            echo $start$path
                        end
                    else
                        __fish_complete_path $current
                    end
            end
            return
        end
    end
    if string match -q -- '-*' $current
        printf '%s\n' $options | cut -f1,4
        return
    end
    for line in (ublk-client --complete verbs 2>/dev/null)
        set -l columns (string split \t -- $line)
        if test $columns[1] = $verb; and string match -q '*DEVICE*' -- $columns[2]
            for link in /dev/disk/by-ublk/(id -u)-*
                printf '%s\t%s\n' (string replace -r '^.*/[0-9]+-' '' -- $link) (realpath $link)
            end
        end
    end
end

complete -c ublk-client -f -a '(__ublk_client_candidates)'
