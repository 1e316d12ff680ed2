/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a device comes: the flows of AddDevice, CreateDevice and Start, each a table of steps in
 * make.c. What fails after ADD_DEV is rolled back before the caller hears of it.
 */
#pragma once

#include "request.h"

/* The acts of the three methods; the request's arguments have been checked. */
void make_add(Request *request);
void make_create(Request *request);
void make_start(Request *request);
