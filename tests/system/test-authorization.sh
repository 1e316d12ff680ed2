#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Who may create without a password: a member of the group ublk without any seat (as over ssh), and whoever sits at the active
# session; a user outside the group and without a seat is refused, by each way to ask, and leaves nothing.
. "$(dirname "$0")/devices.sh"

create="('null', {'size': <uint64 1048576>})"

# alice is in the group: a service of hers, and a login as ssh makes it.
n=$(add_device alice null "{'size': <uint64 1048576>}")
delete_device alice "$n"
as_session alice bash -c 'ublk-client add -t null --size 1M -n 7 && ublk-client del -n 7' ||
	fail "alice's login without a seat cannot create"

# carol is not. Without the permission to ask she is told that a password would do …
refused InteractiveAuthorizationRequired . as carol "$BUS_CALL" Manager AddDevice "$create"
assert_nothing_left
refused InteractiveAuthorizationRequired . as carol "$BUS_CALL" Manager CreateDevice "(@a{sv} {},)"
assert_nothing_left
# … and where nobody can be asked, since no agent runs, no is no.
refused "(AccessDenied|InteractiveAuthorizationRequired)" . as carol "$BUS_CALL" --interactive Manager AddDevice "$create"
assert_nothing_left
status=0
as carol ublk-client add -t null --size 1M || status=$?
assert_eq "$status" 4 "ublk-client's exit status for carol"
assert_nothing_left
status=0
as_session carol ublk-client add -t null --size 1M || status=$?
assert_eq "$status" 4 "ublk-client's exit status for carol's login without a seat"
assert_nothing_left
# At the seat she may, for as long as she sits there.
as_seat carol ublk-client add -t null --size 1M -n 7
assert_eq "$(kernel_says 7 uid)" 1002 "the owner of the device that carol made at the seat"
# It is hers for good; only more would take the seat.
as carol ublk-client del -n 7
assert_gone 7
refused InteractiveAuthorizationRequired . as carol "$BUS_CALL" Manager AddDevice "$create"
