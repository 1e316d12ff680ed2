/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The rules of ublk-params.c against the driver's own: what is built is taken, starts, and is what
 * the block layer then says of the disk; and what is refused here, the driver refuses as well
 * (where it has the rule), so that a rule is no superstition.
 */
#include <unistd.h>

#include "driver-util.h"
#include "ublk-params.h"

#define SIZE   (64ULL << 20)
#define BUFFER (64U << 10)

static uint64_t read_queue(uint32_t dev_id, const char *name)
{
	unsigned long long value = 0;
	char path[96];
	FILE *file;

	snprintf(path, sizeof(path), "/sys/block/ublkb%u/queue/%s", dev_id, name);
	file = fopen(path, "re");
	if (!file)
		FAIL("%s: %s", path, strerror(errno));
	CHECK_EQ(fscanf(file, "%llu", &value), 1);
	fclose(file);
	return value;
}

/* The limits at both ends of what is allowed, and some in between. */
static const struct ublk_limits taken[] = {
	{ .size = SIZE },
	{ .size = 512 },
	{ .size = (1ULL << 63) - 512 },
	{ .size = SIZE, .logical_block_size = 4096 },
	{ .size = SIZE, .physical_block_size = 512 },
	{ .size = SIZE, .physical_block_size = 256U << 20 },
	{ .size = SIZE, .io_min = 256U << 20 },
	{ .size = SIZE, .io_min = 8192, .io_opt = 1U << 20 },
	{ .size = SIZE, .max_io_size = 4096 },
	{ .size = SIZE, .max_io_size = 4096 + 512 },
	{ .size = SIZE, .chunk_size = 5 * 512 },
	{ .size = SIZE, .virt_boundary_mask = 4095 },
	{ .size = SIZE, .dma_alignment = 2 },
	{ .size = SIZE, .dma_alignment = 4096 },
	{ .size = SIZE, .max_segments = 1 },
	{ .size = SIZE, .max_segment_size = 4096 },
	{ .size = SIZE, .segment_boundary_mask = 4095 },
	{ .size = SIZE, .max_segments = 65535, .segment_boundary_mask = (1ULL << 62) - 1 },
	{ .size = SIZE, .read_only = true, .rotational = true },
	{ .size = SIZE, .volatile_cache = true, .fua = true },
	{ .size = SIZE, .physical_block_size = 512, .max_discard_size = 512 },
	{ .size = SIZE,
	  .physical_block_size = 512,
	  .max_discard_size = 1U << 20,
	  .discard_granularity = 3 * 512 },
	{ .size = SIZE,
	  .max_discard_size = (2ULL << 40) - 512,
	  .discard_granularity = 1U << 20,
	  .discard_alignment = 4096 },
	{ .size = SIZE, .max_write_zeroes_size = (2ULL << 40) - 512 },
};

static void test_taken(struct ublk_control *ctl)
{
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
		struct ublksrv_ctrl_dev_info info = util_dev_info(1, 1, UBLK_F_NO_AUTO_PART_SCAN);
		struct ublk_params params;
		struct ublk_limits l;
		const char *field = "", *why = "";
		pid_t server;

		if (ublk_params_build(&taken[i], BUFFER, &params, &field, &why) < 0)
			FAIL("%zu: %s %s", i, field, why);
		STEP("taken %zu", i);
		CHECK_OK(ublk_control_add_dev(ctl, &info));
		CHECK_EQ(info.max_io_buf_bytes, BUFFER);
		CHECK_OK(ublk_control_set_params(ctl, info.dev_id, &params));
		server = util_serve_null(&info, 0, 0);
		CHECK_OK(ublk_control_start_dev(ctl, info.dev_id, server, 10000));

		/* What the driver keeps, described, is what the disk has. */
		CHECK_OK(ublk_control_get_params(ctl, info.dev_id, &params));
		ublk_params_describe(&params, &l);
		CHECK_EQ(l.size, taken[i].size);
		CHECK_EQ(read_queue(info.dev_id, "logical_block_size"), l.logical_block_size);
		CHECK_EQ(read_queue(info.dev_id, "physical_block_size"), l.physical_block_size);
		CHECK_EQ(read_queue(info.dev_id, "minimum_io_size"), l.io_min);
		CHECK_EQ(read_queue(info.dev_id, "optimal_io_size"), l.io_opt);
		CHECK_EQ(read_queue(info.dev_id, "max_hw_sectors_kb"), l.max_io_size >> 10);
		CHECK_EQ(read_queue(info.dev_id, "chunk_sectors"), l.chunk_size >> 9);
		CHECK_EQ(read_queue(info.dev_id, "fua"), l.fua);
		CHECK_EQ(read_queue(info.dev_id, "rotational"), l.rotational);
		CHECK_EQ(read_queue(info.dev_id, "discard_max_hw_bytes"), l.max_discard_size);
		CHECK_EQ(read_queue(info.dev_id, "write_zeroes_max_bytes"),
			 l.max_write_zeroes_size);
		CHECK_EQ(read_queue(info.dev_id, "discard_granularity"), l.discard_granularity);
		CHECK_EQ(read_queue(info.dev_id, "virt_boundary_mask"), l.virt_boundary_mask);
		/* A driver that lacks a block of parameters drops it. */
		if (params.types & UBLK_PARAM_TYPE_SEGMENT)
			CHECK_EQ(read_queue(info.dev_id, "max_segment_size"), l.max_segment_size);
		if (l.max_segments)
			CHECK_EQ(read_queue(info.dev_id, "max_segments"), l.max_segments);
		if (l.dma_alignment)
			CHECK_EQ(read_queue(info.dev_id, "dma_alignment"), l.dma_alignment - 1);
		util_del_dev(ctl, info.dev_id);
		CHECK_EQ(util_wait(server), 0);
	}
}

/* Past the builder: each breaks one rule of what it built. */
static void break_rule(struct ublk_params *p, int rule)
{
	switch (rule) {
	case 0:
		p->basic.logical_bs_shift = 8;
		break;
	case 1:
		p->basic.logical_bs_shift = p->basic.physical_bs_shift = 17;
		break;
	case 2:
		p->basic.logical_bs_shift = 12;
		p->basic.physical_bs_shift = 9;
		break;
	case 3:
		p->basic.max_sectors = (BUFFER >> 9) + 1;
		break;
	case 4:
		p->basic.max_sectors = 7;
		break;
	case 5:
		p->types |= UBLK_PARAM_TYPE_DISCARD;
		p->discard.max_discard_sectors = 8;
		p->discard.discard_granularity = 512;
		p->discard.max_discard_segments = 2;
		break;
	case 6:
		p->types |= UBLK_PARAM_TYPE_DISCARD;
		p->discard.max_write_zeroes_sectors = 8;
		p->discard.discard_granularity = 0;
		break;
	case 7:
		p->types |= UBLK_PARAM_TYPE_DEVT;
		break;
	case 8:
		p->types &= ~UBLK_PARAM_TYPE_BASIC;
		p->types |= UBLK_PARAM_TYPE_DISCARD;
		p->discard.discard_granularity = 512;
		break;
	/* From here on the rules of later drivers than 6.12's. */
	case 9:
		p->basic.physical_bs_shift = 29;
		break;
	case 10:
		p->basic.io_min_shift = 29;
		break;
	case 11:
		p->basic.io_opt_shift = 29;
		break;
	case 12:
		p->types |= UBLK_PARAM_TYPE_DMA_ALIGN;
		p->dma.alignment = 4096;
		break;
	case 13:
		p->types |= UBLK_PARAM_TYPE_DMA_ALIGN;
		p->dma.alignment = 512;
		break;
	case 14:
		p->types |= UBLK_PARAM_TYPE_SEGMENT;
		p->seg = (struct ublk_param_segment){ 65536, 4096, 1, { 0 } };
		break;
	case 15:
		p->types |= UBLK_PARAM_TYPE_SEGMENT;
		p->seg = (struct ublk_param_segment){ 2047, 4096, 1, { 0 } };
		break;
	case 16:
		p->types |= UBLK_PARAM_TYPE_SEGMENT;
		p->seg = (struct ublk_param_segment){ UINT64_MAX, 4096, 1, { 0 } };
		break;
	case 17:
		p->types |= UBLK_PARAM_TYPE_SEGMENT;
		p->seg = (struct ublk_param_segment){ UINT32_MAX, 4095, 1, { 0 } };
		break;
	default:
		p->types = 0;
		break;
	}
}

static void test_refused(struct ublk_control *ctl)
{
	struct ublksrv_ctrl_dev_info info = util_dev_info(1, 1, 0);
	/* The driver that knows segments has all rules of the list. */
	bool later = ublk_control_features(ctl) & UBLK_F_NO_AUTO_PART_SCAN;

	CHECK_OK(ublk_control_add_dev(ctl, &info));
	for (int rule = 0; rule <= 18; rule++) {
		struct ublk_params params = util_params(SIZE);

		if (!later && rule >= 9 && rule < 18)
			continue;
		STEP("refused %d", rule);
		break_rule(&params, rule);
		CHECK_EQ(ublk_control_set_params(ctl, info.dev_id, &params), -EINVAL);
	}
	util_del_dev(ctl, info.dev_id);
}

int main(void)
{
	struct ublk_control *ctl = util_open_control();

	test_taken(ctl);
	test_refused(ctl);
	ublk_control_close(ctl);
	return 0;
}
