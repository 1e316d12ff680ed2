/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A fuzz target is one function: it takes any bytes and gives them to what reads them from whoever
 * sends them. It may assert what must hold whatever they are. `./run fuzz` builds it with clang's
 * libFuzzer; every other build runs it over the files of corpus/NAME (replay.c), as a unit test.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Unlike assert() in every build, and known to analyzers. */
#define FUZZ_ASSERT(condition)                                                                  \
	do {                                                                                    \
		if (!(condition)) {                                                             \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                                \
		}                                                                               \
	} while (0)
