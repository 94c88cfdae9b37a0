# shellcheck shell=bash
# Sourced by ./check and ./quickstart: install_packages PURPOSE... installs what tests/packages.txt lists for these
# purposes and is not there yet. Nothing is asked, no service is started. Without root it prints the command to run.

missing_packages() {
    local purpose words p provided
    # What another package provides is there (a nodejs that is not Debian's brings npm and conflicts with Debian's).
    provided=$(dpkg-query -W -f '${db:Status-Status} ${Provides}\n' | sed -n 's/^installed //p' | tr ', ' '\n\n' | sort -u)
    while IFS=: read -r purpose words; do
        case " $* " in *" $purpose "*) ;; *) continue ;; esac
        for p in $words; do
            is_there() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ] || grep -qxF -e "$1" <<<"$provided"; }
            case $p in *"|"*)        # one that is installed, or one that can be, or the first: another version has other names
                local one first=${p%%|*} found=''
                for one in ${p//|/ }; do
                    if is_there "$one"; then found=$one; break; fi
                done
                for one in ${p//|/ }; do
                    [ -n "$found" ] || ! apt-cache policy "$one" 2>/dev/null | grep -q 'Candidate: [^(]' || found=$one
                done
                p=${found:-$first}
            esac
            is_there "$p" || printf '%s ' "$p"
        done
    done < tests/packages.txt
}

# apt-get would start the services of what it installs, unless this file says no.
without_services() {
    local made='' status
    if ! [ -e /usr/sbin/policy-rc.d ]; then
        printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d && made=yes
    fi
    RUNLEVEL=1 "$@"
    status=$?
    [ -z "$made" ] || rm -f /usr/sbin/policy-rc.d
    return $status
}

install_packages() {
    local want log
    command -v dpkg-query >/dev/null || { echo "not a Debian system: see tests/packages.txt for what is needed"; return 0; }
    want=$(missing_packages "$@")
    [ -n "$want" ] || return 0
    if [ "$(id -u)" != 0 ]; then
        echo "Some packages are missing. As root:"
        echo "  apt-get install --no-install-recommends $want"
        return 1
    fi
    echo "installing: $want"
    log=$(mktemp) || return
    export DEBIAN_FRONTEND=noninteractive
    # A bare image has no package lists, an older one stale ones: install, and only when that fails, update and try again.
    # shellcheck disable=SC2086
    printf '%s\n' 'postfix postfix/main_mailer_type select Local only' 'postfix postfix/mailname string localhost' |
        debconf-set-selections 2>/dev/null
    if without_services apt-get -qq -y --no-install-recommends install $want >"$log" 2>&1 </dev/null ||
        { apt-get -qq update >"$log" 2>&1 && without_services apt-get -qq -y --no-install-recommends install $want >>"$log" 2>&1 </dev/null; }
    then
        rm -f "$log"
    else
        tail -30 "$log"
        rm -f "$log"
        echo "apt-get could not install them"
        return 1
    fi
}
