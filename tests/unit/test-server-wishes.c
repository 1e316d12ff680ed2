/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the user wishes against what the target is: who wins, what follows, what is refused. */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/wishes.h"

#define MIB (1ULL << 20)

/* As loop over a file would be. */
static const struct ublk_limits target = {
	.size = 10 * MIB,
	.logical_block_size = 512,
	.physical_block_size = 4096,
	.max_io_size = 512 << 10,
	.volatile_cache = true,
	.fua = true,
	.max_discard_size = 1024 * MIB,
	.discard_granularity = 4096,
	.max_write_zeroes_size = 64 * MIB,
};

static struct ublk_limits got;
static struct server_error error;

/* Names of parameters, each with its value, up to NULL. */
static int apply(const struct ublk_limits *limits, ...)
{
	struct options options = { .max_io_size = 512 << 10 };
	const char *name;
	va_list args;

	va_start(args, limits);
	while ((name = va_arg(args, const char *))) {
		const struct ublk_param *param = ublk_params_find(name);

		assert(param);
		ublk_params_store(&options.limits, param, va_arg(args, unsigned long long));
		options.given |= ublk_params_bit(param);
	}
	va_end(args);
	got = *limits;
	error = (struct server_error){ 0 };
	return wishes_apply(&options, "loop", &got, &error);
}

/* What is refused leaves the limits as they were. */
#define REFUSES(words, limits, ...)                                                             \
	do {                                                                                    \
		if (apply(limits, __VA_ARGS__, NULL) != -EINVAL || error.err != EINVAL ||       \
		    !strstr(error.text, words)) {                                               \
			fprintf(stderr, "line %d: %d '%s'\n", __LINE__, error.err, error.text); \
			abort();                                                                \
		}                                                                               \
		assert(memcmp(&got, limits, sizeof(got)) == 0);                                 \
	} while (0)

#define TAKES(limits, ...)                                                        \
	do {                                                                      \
		if (apply(limits, __VA_ARGS__, NULL) != 0) {                      \
			fprintf(stderr, "line %d: '%s'\n", __LINE__, error.text); \
			abort();                                                  \
		}                                                                 \
	} while (0)

static void without_wishes_the_target_decides(void)
{
	TAKES(&target, NULL);
	assert(got.size == target.size && got.physical_block_size == 4096);
	assert(got.volatile_cache && got.fua);
	assert(got.max_discard_size == 1024 * MIB && got.discard_granularity == 4096);
}

static void wishes_win(void)
{
	TAKES(&target, "physical-block-size", 512ULL, "rotational", 1ULL, "chunk-size", 65536ULL,
	      "virt-boundary-mask", 4095ULL, "max-segments", 4ULL, "dma-alignment", 4096ULL);
	assert(got.physical_block_size == 512 && got.rotational && got.chunk_size == 65536);
	assert(got.virt_boundary_mask == 4095 && got.max_segments == 4);
	assert(got.dma_alignment == 4096);
	TAKES(&target, "max-discard-size", 8 * MIB, "max-write-zeroes-size", MIB);
	assert(got.max_discard_size == 8 * MIB && got.max_write_zeroes_size == MIB);
}

static void what_depends_on_a_wish_follows(void)
{
	TAKES(&target, "physical-block-size", 65536ULL);
	assert(got.io_min == 65536 && got.io_opt == 65536);
	/* The block layer would raise it, and say so to nobody. */
	assert(got.discard_granularity == 65536);
	TAKES(&target, "io-min", 16384ULL);
	assert(got.physical_block_size == 4096 && got.io_opt == 16384);
	TAKES(&target, "max-discard-size", 0ULL);
	assert(got.max_discard_size == 0 && got.discard_granularity == 0);
	assert(got.max_write_zeroes_size == 64 * MIB);
	TAKES(&target, "fua", 0ULL);
	assert(got.volatile_cache && !got.fua);
}

static void bounds_stay(void)
{
	struct ublk_limits none = target;

	REFUSES("\"max-discard-size\" is 2147483648, but target loop takes at most 1073741824",
		&target, "max-discard-size", 2048 * MIB);
	REFUSES("\"max-write-zeroes-size\" is 134217728", &target, "max-write-zeroes-size",
		128 * MIB);
	none.max_discard_size = none.max_write_zeroes_size = none.discard_granularity = 0;
	REFUSES("\"max-discard-size\" is 1048576, but target loop cannot do that with what", &none,
		"max-discard-size", MIB);
	none.read_only = true;
	REFUSES("on a read-only device", &none, "max-write-zeroes-size", MIB);
	TAKES(&none, "max-discard-size", 0ULL, "max-write-zeroes-size", 0ULL);
	REFUSES("\"discard-granularity\"", &none, "discard-granularity", 4096ULL);
}

static void no_promise_that_is_not_kept(void)
{
	struct ublk_limits plain = target;

	REFUSES("\"volatile-cache\" is false", &target, "volatile-cache", 0ULL);
	REFUSES("\"volatile-cache\" is false", &target, "volatile-cache", 0ULL, "fua", 0ULL);
	plain.volatile_cache = plain.fua = false;
	TAKES(&plain, "volatile-cache", 0ULL);
	REFUSES("\"volatile-cache\" is true", &plain, "volatile-cache", 1ULL);
	REFUSES("\"fua\" is 1, which needs a volatile cache", &plain, "fua", 1ULL);
	plain.volatile_cache = true;
	REFUSES("\"fua\" is true", &plain, "fua", 1ULL);
}

static void what_does_not_fit_is_named(void)
{
	struct ublk_limits large = target;

	large.logical_block_size = 4096;
	REFUSES("\"physical-block-size\" is 512", &large, "physical-block-size", 512ULL);
	REFUSES("\"io-min\" is 512", &target, "io-min", 512ULL);
	REFUSES("\"io-opt\" is 4096", &target, "io-min", 8192ULL, "io-opt", 4096ULL);
	REFUSES("\"chunk-size\" is 512", &large, "chunk-size", 512ULL);
	REFUSES("\"discard-granularity\" is 2048, which is less than the physical", &target,
		"discard-granularity", 2048ULL);
	REFUSES("\"max-discard-size\" is 512, less than the discard granularity, 4096", &target,
		"max-discard-size", 512ULL);
	REFUSES("\"discard-alignment\" is 4096", &target, "discard-alignment", 4096ULL);
}

int main(void)
{
	without_wishes_the_target_decides();
	wishes_win();
	what_depends_on_a_wish_follows();
	bounds_stay();
	no_promise_that_is_not_kept();
	what_does_not_fit_is_named();
	return 0;
}
