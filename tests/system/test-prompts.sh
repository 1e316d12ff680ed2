#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kernel: 7.2
# The limits of password dialogs in ublkd.conf, for a connection, for a user and for all: a call that would open one more is refused and
# opens none, a call that takes no dialog is not, and when a caller leaves its dialogs close, and their places are free.
. "$(dirname "$0")/devices.sh"

configure <<'C'
[limits]
prompts-per-sender=2
prompts-per-user=3
prompts-total=4
C
silent_agent carol
silent_agent bob
refusal="org.ublk1.create takes an administrator's password; too many password dialogs are open already"

agent_does carol "ask first"
agent_said carol 1 dialog
agent_does carol "ask first"
agent_said carol 2 dialog
agent_does carol "ask first"
agent_said carol 1 "first .*$refusal"
agent_does carol "ask second"
agent_said carol 3 dialog
agent_does carol "ask third"
agent_said carol 1 "third .*$refusal"
agent_does bob "ask first"
agent_said bob 1 dialog
agent_does bob "ask second"
agent_said bob 1 "second .*$refusal"
# What takes no password, and what is not to ask for one.
delete_device alice "$(add_device alice null "{'size': <uint64 1048576>}")"
refused InteractiveAuthorizationRequired "password" as bob "$BUS_CALL" Manager CreateDevice '(@a{sv} {},)'
# What was refused opened none.
agent_said carol 3 dialog
agent_said bob 1 dialog

# The first connection's two.
agent_does carol "leave first"
agent_said carol 2 closed
agent_does carol "ask third"
agent_said carol 4 dialog
agent_does bob "ask second"
agent_said bob 2 dialog
agent_does carol "ask fourth"
agent_said carol 1 "fourth .*$refusal"
# The same names once more; somebody's last leaving is another's place.
agent_does bob "leave first"
agent_said bob 1 closed
agent_does carol "ask fourth"
agent_said carol 5 dialog
agent_does bob "ask first"
agent_said bob 1 "first .*$refusal"
agent_does carol "leave fourth"
agent_does carol "leave third"
agent_does carol "leave second"
agent_said carol 5 closed
agent_does bob "leave second"
agent_said bob 2 closed
