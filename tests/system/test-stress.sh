#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# timeout: 600
# A minute of what `./run stress` does for half an hour: on one kernel with ext4, on the other with xfs.
case $(uname -r) in
6.12.*) type=ext4 ;;
*) type=xfs ;;
esac
exec bash "$(dirname "$0")/stress-file-system" 60 "$type"
