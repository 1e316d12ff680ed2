/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Parameters: what is right is built as it was said, and each rule refuses what it is about, by the
 * name of the field and for the reason that it gives.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ublk-params.h"

#define KIB (1ULL << 10)
#define MIB (1ULL << 20)
#define TIB (1ULL << 40)

#define BUFFER (512U << 10)

static int failures;

#define CHECK(condition)                                                                        \
	do {                                                                                    \
		if (!(condition)) {                                                             \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
			failures++;                                                             \
		}                                                                               \
	} while (0)

/* Refused by the last member that is named; each line has its neighbour that is not. */
static const struct {
	const char *field; /* NULL: taken */
	const char *why;
	struct ublk_limits limits;
} cases[] = {
	{ NULL, NULL, { .size = MIB } },
	{ "size", "is 0", { .size = 0 } },
	{ "size", "is not a multiple of the logical block size", { .size = MIB + 511 } },
	{ "size",
	  "is not a multiple of the logical block size",
	  { .size = MIB + 512, .logical_block_size = 1024 } },
	{ NULL, NULL, { .size = MIB + 512 } },
	{ "size", "is more than 8 EiB - 1", { .size = 1ULL << 63 } },
	{ NULL, NULL, { .size = (1ULL << 63) - 512 } },

	{ "logical-block-size",
	  "is not a power of two",
	  { .size = 1536, .logical_block_size = 1536 } },
	{ "logical-block-size", "is less than 512", { .size = MIB, .logical_block_size = 256 } },
	{ "logical-block-size",
	  "is more than the page size",
	  { .size = MIB, .logical_block_size = 1U << 17 } },
	{ NULL, NULL, { .size = MIB, .logical_block_size = 4096 } },

	{ "physical-block-size",
	  "is not a power of two",
	  { .size = MIB, .physical_block_size = 4096 + 512 } },
	{ "physical-block-size",
	  "is less than the logical block size",
	  { .size = MIB, .logical_block_size = 4096, .physical_block_size = 512 } },
	{ "physical-block-size",
	  "is more than 256 MiB",
	  { .size = MIB, .physical_block_size = 512U << 20 } },
	{ NULL, NULL, { .size = MIB, .physical_block_size = 256U << 20 } },
	{ NULL, NULL, { .size = MIB, .physical_block_size = 512 } },

	{ "io-min", "is not a power of two", { .size = MIB, .io_min = 12288 } },
	{ "io-min",
	  "is less than the physical block size",
	  { .size = MIB, .physical_block_size = 4096, .io_min = 512 } },
	{ "io-min", "is more than 256 MiB", { .size = MIB, .io_min = 512U << 20 } },
	{ NULL, NULL, { .size = MIB, .physical_block_size = 512, .io_min = 512 } },
	{ "io-opt", "is not a power of two", { .size = MIB, .io_opt = 3U << 20 } },
	{ "io-opt",
	  "is less than io-min",
	  { .size = MIB, .io_min = 64 * KIB, .io_opt = 32 * KIB } },
	{ "io-opt", "is more than 256 MiB", { .size = MIB, .io_opt = 512U << 20 } },
	{ NULL, NULL, { .size = MIB, .io_min = 64 * KIB, .io_opt = 64 * KIB } },

	{ "max-io-size",
	  "is not a multiple of 512",
	  { .size = MIB, .max_io_size = 128 * KIB + 100 } },
	{ "max-io-size", "is less than the page size", { .size = MIB, .max_io_size = 512 } },
	{ "max-io-size",
	  "is more than the device's buffers hold",
	  { .size = MIB, .max_io_size = BUFFER + 512 } },
	{ NULL, NULL, { .size = MIB, .max_io_size = BUFFER } },
	/* The block layer would round it down. */
	{ "max-io-size",
	  "is not a multiple of the logical block size",
	  { .size = MIB, .logical_block_size = 1024, .max_io_size = 16896 } },
	{ NULL, NULL, { .size = MIB, .max_io_size = 16896 } },
	{ "chunk-size",
	  "is not a multiple of the logical block size",
	  { .size = MIB, .logical_block_size = 1024, .chunk_size = 512 } },
	{ NULL, NULL, { .size = MIB, .chunk_size = 3 * 512 } },
	{ "virt-boundary-mask",
	  "is not a power of two less one",
	  { .size = MIB, .virt_boundary_mask = 4096 } },
	{ NULL, NULL, { .size = MIB, .virt_boundary_mask = 4095 } },
	{ "fua", "needs a volatile cache", { .size = MIB, .fua = true } },
	{ NULL, NULL, { .size = MIB, .fua = true, .volatile_cache = true } },

	{ "dma-alignment", "is not a power of two", { .size = MIB, .dma_alignment = 511 } },
	{ "dma-alignment",
	  "is more than the page size",
	  { .size = MIB, .dma_alignment = 1U << 17 } },
	{ NULL, NULL, { .size = MIB, .dma_alignment = 512 } },
	/* The block layer would make 512 of it. */
	{ "dma-alignment", "is less than 2", { .size = MIB, .dma_alignment = 1 } },
	{ NULL, NULL, { .size = MIB, .dma_alignment = 2 } },
	{ "max-segments", "is more than 65535", { .size = MIB, .max_segments = 65536 } },
	{ NULL, NULL, { .size = MIB, .max_segments = 65535 } },
	{ "max-segment-size", "is less than 4096", { .size = MIB, .max_segment_size = 4095 } },
	{ NULL, NULL, { .size = MIB, .max_segment_size = 4096 } },
	{ "segment-boundary-mask",
	  "is not a power of two less one",
	  { .size = MIB, .segment_boundary_mask = 65536 } },
	{ "segment-boundary-mask",
	  "is more than 2^63 - 1",
	  { .size = MIB, .segment_boundary_mask = UINT64_MAX } },
	{ NULL, NULL, { .size = MIB, .segment_boundary_mask = UINT64_MAX >> 1 } },
	{ "segment-boundary-mask",
	  "is less than 4095",
	  { .size = MIB, .segment_boundary_mask = 2047 } },
	{ NULL, NULL, { .size = MIB, .segment_boundary_mask = 4095 } },

	{ "max-discard-size",
	  "is not a multiple of 512",
	  { .size = MIB, .max_discard_size = 1000 } },
	{ "max-discard-size",
	  "is not a multiple of the logical block size",
	  { .size = MIB, .logical_block_size = 1024, .max_discard_size = 16896 } },
	{ "max-discard-size",
	  "is more than 2 TiB - 512",
	  { .size = MIB, .max_discard_size = 2 * TIB } },
	{ NULL, NULL, { .size = MIB, .max_discard_size = 2 * TIB - 512 } },
	{ "discard-granularity",
	  "needs a maximal discard size",
	  { .size = MIB, .discard_granularity = 4096 } },
	{ "discard-alignment",
	  "needs a maximal discard size",
	  { .size = MIB, .discard_alignment = 4096 } },
	{ "discard-granularity",
	  "is not a multiple of 512",
	  { .size = MIB, .max_discard_size = MIB, .discard_granularity = 1000 } },
	{ "discard-granularity",
	  "is not a multiple of the logical block size",
	  { .size = MIB,
	    .logical_block_size = 1024,
	    .max_discard_size = MIB,
	    .discard_granularity = 8704 } },
	/* The block layer would raise it. */
	{ "discard-granularity",
	  "is less than the physical block size",
	  { .size = MIB,
	    .physical_block_size = 8192,
	    .max_discard_size = MIB,
	    .discard_granularity = 4096 } },
	{ NULL,
	  NULL,
	  { .size = MIB,
	    .physical_block_size = 512,
	    .max_discard_size = 1536,
	    .discard_granularity = 1536 } },
	/* Not given it is the physical block size: more than one request takes. */
	{ "discard-granularity",
	  "is more than the maximal discard size",
	  { .size = MIB, .max_discard_size = 512 } },
	{ "discard-granularity",
	  "is more than the maximal discard size",
	  { .size = MIB, .max_discard_size = 4096, .discard_granularity = 8192 } },
	{ "discard-alignment",
	  "is not a multiple of 512",
	  { .size = MIB,
	    .max_discard_size = MIB,
	    .discard_granularity = 4096,
	    .discard_alignment = 100 } },
	{ "discard-alignment",
	  "is not less than the granularity",
	  { .size = MIB,
	    .max_discard_size = MIB,
	    .discard_granularity = 4096,
	    .discard_alignment = 4096 } },
	{ NULL,
	  NULL,
	  { .size = MIB,
	    .max_discard_size = MIB,
	    .discard_granularity = 4096,
	    .discard_alignment = 512 } },
	{ "max-write-zeroes-size",
	  "is not a multiple of 512",
	  { .size = MIB, .max_write_zeroes_size = 1000 } },
	{ "max-write-zeroes-size",
	  "is not a multiple of the logical block size",
	  { .size = MIB, .logical_block_size = 1024, .max_write_zeroes_size = 16896 } },
	{ "max-write-zeroes-size",
	  "is more than 2 TiB - 512",
	  { .size = MIB, .max_write_zeroes_size = 2 * TIB } },
	{ NULL, NULL, { .size = MIB, .max_write_zeroes_size = MIB } },
};

static void test_rules(void)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *field = "nothing", *why = "no reason";
		struct ublk_params params, untouched;
		int ret;

		memset(&params, 0xa5, sizeof(params));
		untouched = params;
		ret = ublk_params_build(&cases[i].limits, BUFFER, &params, &field, &why);
		if (!cases[i].field) {
			if (ret != 0) {
				fprintf(stderr, "case %zu: refused: %s %s\n", i, field, why);
				failures++;
			}
			continue;
		}
		if (ret != -EINVAL || strcmp(field, cases[i].field) || strcmp(why, cases[i].why)) {
			fprintf(stderr, "case %zu: %d, %s %s; not: %s %s\n", i, ret, field, why,
				cases[i].field, cases[i].why);
			failures++;
		}
		/* A refusal leaves nothing half built. */
		CHECK(memcmp(&params, &untouched, sizeof(params)) == 0);
	}
}

static void test_defaults(void)
{
	const struct ublk_limits limits = { .size = 64 * MIB };
	uint32_t page = (uint32_t)sysconf(_SC_PAGESIZE);
	struct ublk_params params;
	struct ublk_limits got;

	CHECK(ublk_params_build(&limits, BUFFER, &params, NULL, NULL) == 0);
	CHECK(params.len == sizeof(params));
	/* What is not asked for is not sent: an older driver has no other blocks. */
	CHECK(params.types == UBLK_PARAM_TYPE_BASIC);
	CHECK(params.basic.attrs == 0);
	CHECK(params.basic.dev_sectors == 64 * MIB / 512);
	ublk_params_describe(&params, &got);
	CHECK(got.size == 64 * MIB);
	CHECK(got.logical_block_size == 512);
	CHECK(got.physical_block_size == page);
	CHECK(got.io_min == page && got.io_opt == page);
	CHECK(got.max_io_size == BUFFER);
	CHECK(got.dma_alignment == 0 && got.max_segments == 0 && got.max_discard_size == 0);
	CHECK(ublk_params_build(&(struct ublk_limits){ 0 }, BUFFER, &params, NULL, NULL) ==
	      -EINVAL);
}

/* Each field comes back as it went in. */
static void test_inverse(void)
{
	const struct ublk_limits limits = {
		.size = 3 * TIB + 4096,
		.logical_block_size = 1024,
		.physical_block_size = 2048,
		.io_min = 8192,
		.io_opt = 1U << 20,
		.max_io_size = 256 * KIB,
		.chunk_size = 5 * 1024,
		.virt_boundary_mask = 8191,
		.dma_alignment = 256,
		.max_segments = 17,
		.max_segment_size = 12345,
		.segment_boundary_mask = 65535,
		.read_only = true,
		.rotational = true,
		.volatile_cache = true,
		.fua = true,
		.max_discard_size = 2 * TIB - 1024,
		.discard_granularity = 3072,
		.discard_alignment = 512,
		.max_write_zeroes_size = TIB,
	};
	struct ublk_params params;
	struct ublk_limits got;

	CHECK(ublk_params_build(&limits, BUFFER, &params, NULL, NULL) == 0);
	CHECK(params.types == (UBLK_PARAM_TYPE_BASIC | UBLK_PARAM_TYPE_DISCARD |
			       UBLK_PARAM_TYPE_DMA_ALIGN | UBLK_PARAM_TYPE_SEGMENT));
	CHECK(params.basic.attrs == (UBLK_ATTR_READ_ONLY | UBLK_ATTR_ROTATIONAL |
				     UBLK_ATTR_VOLATILE_CACHE | UBLK_ATTR_FUA));
	CHECK(params.basic.logical_bs_shift == 10 && params.basic.physical_bs_shift == 11);
	CHECK(params.basic.io_min_shift == 13 && params.basic.io_opt_shift == 20);
	CHECK(params.dma.alignment == 255);
	CHECK(params.discard.max_discard_segments == 1);
	memset(&got, 0xa5, sizeof(got));
	ublk_params_describe(&params, &got);
	CHECK(got.size == limits.size);
	CHECK(got.logical_block_size == limits.logical_block_size);
	CHECK(got.physical_block_size == limits.physical_block_size);
	CHECK(got.io_min == limits.io_min);
	CHECK(got.io_opt == limits.io_opt);
	CHECK(got.max_io_size == limits.max_io_size);
	CHECK(got.chunk_size == limits.chunk_size);
	CHECK(got.virt_boundary_mask == limits.virt_boundary_mask);
	CHECK(got.dma_alignment == limits.dma_alignment);
	CHECK(got.max_segments == limits.max_segments);
	CHECK(got.max_segment_size == limits.max_segment_size);
	CHECK(got.segment_boundary_mask == limits.segment_boundary_mask);
	CHECK(got.read_only && got.rotational && got.volatile_cache && got.fua);
	CHECK(got.max_discard_size == limits.max_discard_size);
	CHECK(got.discard_granularity == limits.discard_granularity);
	CHECK(got.discard_alignment == limits.discard_alignment);
	CHECK(got.max_write_zeroes_size == limits.max_write_zeroes_size);
}

/* One field of a block: its neighbours become what the driver has without the block. */
static void test_blocks(void)
{
	struct ublk_limits limits = { .size = MIB, .max_segments = 8 };
	struct ublk_params params;

	CHECK(ublk_params_build(&limits, BUFFER, &params, NULL, NULL) == 0);
	CHECK(params.seg.max_segments == 8);
	CHECK(params.seg.max_segment_size == UINT32_MAX);
	CHECK(params.seg.seg_boundary_mask == UINT32_MAX);

	limits = (struct ublk_limits){ .size = MIB, .max_segment_size = 8192 };
	CHECK(ublk_params_build(&limits, BUFFER, &params, NULL, NULL) == 0);
	CHECK(params.seg.max_segments == UINT16_MAX);

	/* The driver wants a granularity even where only zeroes are written. */
	limits = (struct ublk_limits){ .size = MIB, .max_write_zeroes_size = MIB };
	CHECK(ublk_params_build(&limits, BUFFER, &params, NULL, NULL) == 0);
	CHECK(params.types & UBLK_PARAM_TYPE_DISCARD);
	CHECK(params.discard.max_discard_sectors == 0);
	CHECK(params.discard.discard_granularity == (uint32_t)sysconf(_SC_PAGESIZE));
	ublk_params_describe(&params, &limits);
	CHECK(limits.max_discard_size == 0 && limits.discard_granularity == 0);
	CHECK(limits.max_write_zeroes_size == MIB);
}

/* What another program has set may be nonsense; describing it is defined all the same. */
static void test_nonsense(void)
{
	struct ublk_params params;
	struct ublk_limits limits;

	memset(&params, 0xff, sizeof(params));
	ublk_params_describe(&params, &limits);
	CHECK(limits.logical_block_size == 0);
	memset(&params, 0, sizeof(params));
	ublk_params_describe(&params, &limits);
	CHECK(limits.size == 0 && limits.logical_block_size == 0);
}

/* The table names each member of the structure once, in its place and of its width. */
static void test_table(void)
{
	const struct ublk_param *table;
	struct ublk_limits limits = { 0 };
	uint32_t all = 0;
	size_t n, bytes = 0;

	table = ublk_params_table(&n);
	for (size_t i = 0; i < n; i++) {
		const struct ublk_param *param = &table[i];
		uint64_t value = param->kind == UBLK_PARAM_BOOL  ? 1
				 : param->kind == UBLK_PARAM_U32 ? UINT32_MAX - i
								 : UINT64_MAX - i;

		CHECK(ublk_params_find(param->name) == param);
		CHECK(!(all & ublk_params_bit(param)));
		all |= ublk_params_bit(param);
		ublk_params_store(&limits, param, value);
		CHECK(ublk_params_get(&limits, param) == value);
		bytes += param->kind == UBLK_PARAM_BOOL  ? sizeof(bool)
			 : param->kind == UBLK_PARAM_U32 ? sizeof(uint32_t)
							 : sizeof(uint64_t);
	}
	/* Nobody wrote into a neighbour, and no member was forgotten (but for padding). */
	for (size_t i = 0; i < n; i++)
		CHECK(ublk_params_get(&limits, &table[i]) != 0);
	CHECK(bytes + 8 > sizeof(limits) - 8 && bytes <= sizeof(limits));
	CHECK(ublk_params_find("colour") == NULL);
}

/* What is said of a single value is what building with it says, or less. */
static void test_values(void)
{
	CHECK(ublk_params_check(ublk_params_find("io-min"), 0) == NULL);
	CHECK(strcmp(ublk_params_check(ublk_params_find("size"), 0), "is 0") == 0);
	CHECK(strcmp(ublk_params_check(ublk_params_find("io-min"), 1ULL << 33),
		     "is more than 32 bits hold") == 0);
	CHECK(ublk_params_check(ublk_params_find("virt-boundary-mask"), UINT64_MAX) == NULL);
	CHECK(ublk_params_check(ublk_params_find("read-only"), 1) == NULL);
}

static void test_lost(void)
{
	struct ublk_limits limits = { .size = MIB };
	struct ublk_params set, kept;

	CHECK(ublk_params_build(&limits, BUFFER, &set, NULL, NULL) == 0);
	kept = set;
	/* What the driver adds by itself is no loss. */
	kept.types |= UBLK_PARAM_TYPE_DEVT;
	CHECK(ublk_params_find_lost(&limits, &set, &kept) == NULL);

	limits.max_segment_size = 8192;
	CHECK(ublk_params_build(&limits, BUFFER, &set, NULL, NULL) == 0);
	CHECK(ublk_params_find_lost(&limits, &set, &kept) == ublk_params_find("max-segment-size"));
	CHECK(ublk_params_find_lost(&limits, &set, &set) == NULL);
	limits = (struct ublk_limits){ .size = MIB, .dma_alignment = 512 };
	CHECK(ublk_params_build(&limits, BUFFER, &set, NULL, NULL) == 0);
	CHECK(ublk_params_find_lost(&limits, &set, &kept) == ublk_params_find("dma-alignment"));
}

int main(void)
{
	test_table();
	test_values();
	test_lost();
	test_rules();
	test_defaults();
	test_inverse();
	test_blocks();
	test_nonsense();
	return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
