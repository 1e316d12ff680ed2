/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "signals.h"

#include <signal.h>

const int signals_fatal[3] = { SIGINT, SIGTERM, SIGHUP };

gboolean signals_is_ignored(int signal)
{
	struct sigaction action;

	return sigaction(signal, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}
