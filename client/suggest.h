/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which word was meant by one that is not there.
 */
#pragma once

#include <glib.h>

/*
 * The one of @words (ended by NULL) that is nearest to @typed: a slip or two away, or its
 * beginning; NULL when none is, or two are as near. Owned by @words.
 */
const char *suggest_word(const char *typed, const char *const *words);
