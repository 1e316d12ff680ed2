#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# timeout: 600
# Two minutes of what `./run soak` does for half an hour: devices of three users come and go at random, servers and ublkd are killed in the
# middle of it, no acknowledged write is lost, and nothing is left in the end.
exec bash "$(dirname "$0")/soak" 120
