/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * polkit asks for passwords through an agent, which a desktop has and a login by ssh has not. For a
 * person at a terminal we run polkit's own, pkttyagent, as long as a call may need it.
 */
#pragma once

#include <glib.h>

typedef struct password_agent PasswordAgent;

/* Whether there is somebody to ask: a terminal, and not root's, who is never asked. */
gboolean password_agent_is_wanted(void);

/* It is registered when this returns; the desktop's, if there is one, goes first. NULL: none. */
PasswordAgent *password_agent_start(void);

/* It is gone when this returns. */
void password_agent_end(PasswordAgent *agent);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PasswordAgent, password_agent_end)
