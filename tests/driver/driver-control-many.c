/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Many commands at once: those that wait hold up none that does not, each gets its own answer, and
 * callbacks may submit, wait and cancel as they like.
 */
#include <poll.h>
#include <unistd.h>

#include "driver-util.h"

#define SIZE    (64ULL << 20)
#define DEVICES 64
/* What a command that has not ended yet has for its result. */
#define PENDING 1

struct state {
	struct ublk_control *ctl;
	uint32_t dev_ids[DEVICES];
	struct ublk_control_op *starts[DEVICES];
	int results[DEVICES];
	int ended;
	int asked; /* answers to GET_DEV_INFO2 */
	int chain; /* links of the chain that have come */
};

struct item {
	struct state *state;
	int index;
};

static void pump(struct state *state, const int *counter, int until, int ms)
{
	long long end = util_now_ms() + ms;

	while (*counter < until && util_now_ms() < end) {
		struct pollfd pfd = { .fd = ublk_control_get_fd(state->ctl), .events = POLLIN };

		poll(&pfd, 1, 50);
		ublk_control_dispatch(state->ctl);
	}
	CHECK_EQ(*counter, until);
}

static void start_ended(int res, const void *buf, size_t len, void *user_data)
{
	struct item *item = user_data;

	CHECK_EQ(item->state->results[item->index], PENDING);
	item->state->results[item->index] = res;
	item->state->ended++;
}

/* The first one to go takes all others with it. */
static void start_ended_for_all(int res, const void *buf, size_t len, void *user_data)
{
	struct item *item = user_data;
	struct state *state = item->state;

	start_ended(res, buf, len, user_data);
	for (int i = 0; i < DEVICES; i++)
		if (state->results[i] == PENDING)
			ublk_control_cancel(state->ctl, state->starts[i]);
}

static void info_came(int res, const void *buf, size_t len, void *user_data)
{
	const struct ublksrv_ctrl_dev_info *info = buf;
	struct item *item = user_data;

	CHECK_EQ(res, 0);
	CHECK_EQ(len, sizeof(*info));
	CHECK_EQ(info->dev_id, item->state->dev_ids[item->index]);
	item->state->asked++;
}

#define CHAIN 200

/* Each answer asks for the next, and every second one waits for another in the callback. */
static void link_came(int res, const void *buf, size_t len, void *user_data)
{
	const struct ublksrv_ctrl_dev_info *info = buf;
	struct state *state = user_data;
	struct ublksrv_ctrl_dev_info inner = *info;
	struct ublk_control_cmd cmd = {
		.op = UBLK_U_CMD_GET_DEV_INFO2,
		.dev_id = state->dev_ids[state->chain % DEVICES],
		.buf = &inner,
		.len = sizeof(inner),
		.timeout_ms = 10000,
	};

	CHECK_EQ(res, 0);
	if (++state->chain == CHAIN)
		return;
	if (state->chain % 2) {
		CHECK_OK(ublk_control_run(state->ctl, &cmd));
		CHECK_EQ(inner.dev_id, cmd.dev_id);
		/* This answer is still what it was. */
		CHECK_EQ(info->max_io_buf_bytes, 64 << 10);
	}
	CHECK_OK(ublk_control_submit(state->ctl, &cmd, link_came, state, NULL));
}

static void start_all(struct state *state, struct item *items, ublk_control_done done,
		      int with_deadline)
{
	struct ublk_control_cmd cmd = { .op = UBLK_U_CMD_START_DEV, .data = (uint64_t)getpid() };

	state->ended = 0;
	for (int i = 0; i < DEVICES; i++) {
		state->results[i] = PENDING;
		cmd.dev_id = state->dev_ids[i];
		if (with_deadline < 0)
			cmd.timeout_ms = 6000 + (unsigned int)i * 10;
		else
			cmd.timeout_ms = i == with_deadline ? 500 : UBLK_NO_TIMEOUT;
		CHECK_OK(ublk_control_submit(state->ctl, &cmd, done, &items[i], &state->starts[i]));
	}
}

int main(void)
{
	static struct state state;
	static struct item items[DEVICES];
	struct ublksrv_ctrl_dev_info info = { 0 };
	struct ublk_control_cmd cmd = {
		.op = UBLK_U_CMD_GET_DEV_INFO2,
		.buf = &info,
		.len = sizeof(info),
	};
	long long begin;

	state.ctl = util_open_control();
	for (int i = 0; i < DEVICES; i++) {
		items[i] = (struct item){ &state, i };
		state.dev_ids[i] = util_add_dev(state.ctl, 1, 1, 0, SIZE).dev_id;
	}

	STEP("%d commands that wait, each with its own deadline", DEVICES);
	begin = util_now_ms();
	start_all(&state, items, start_ended, -1);

	STEP("others are answered meanwhile, with their own answers");
	for (int round = 0; round < 4; round++)
		for (int i = 0; i < DEVICES; i++) {
			cmd.dev_id = state.dev_ids[i];
			CHECK_OK(ublk_control_submit(state.ctl, &cmd, info_came, &items[i], NULL));
		}
	pump(&state, &state.asked, 4 * DEVICES, 5500);
	CHECK_EQ(state.ended, 0);
	CHECK(util_now_ms() - begin < 6000);

	STEP("and all of them end at their deadlines");
	pump(&state, &state.ended, DEVICES, 20000);
	for (int i = 0; i < DEVICES; i++)
		CHECK_EQ(state.results[i], -ETIMEDOUT);

	STEP("a callback may submit, and even wait");
	cmd.dev_id = state.dev_ids[0];
	info.max_io_buf_bytes = 64 << 10;
	CHECK_OK(ublk_control_submit(state.ctl, &cmd, link_came, &state, NULL));
	pump(&state, &state.chain, CHAIN, 20000);

	STEP("a callback may cancel: the first to end ends all");
	start_all(&state, items, start_ended_for_all, 17);
	pump(&state, &state.ended, DEVICES, 10000);
	for (int i = 0; i < DEVICES; i++)
		CHECK_EQ(state.results[i], i == 17 ? -ETIMEDOUT : -ECANCELED);

	for (int i = 0; i < DEVICES; i++)
		util_del_dev(state.ctl, state.dev_ids[i]);
	ublk_control_close(state.ctl);
	return 0;
}
