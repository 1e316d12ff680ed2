#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kernel: 6.12
# When AddDevice returns, both nodes are the user's and the device can be used; when Delete returns, both are gone and the number is
# free: 100 times in a row, without one retry or sleep (add-many.c looks at once).
# timeout: 600
. "$(dirname "$0")/devices.sh"

file=$(backing_file alice 4M)
as alice "$HELPERS/add-many" "$file" 100
