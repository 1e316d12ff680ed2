/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Parameters of a device, each an 8-byte number, after the size of its buffers. What is accepted
 * keeps the driver's rules, comes back as it went in, and fits together again.
 */
#include <string.h>

#include "fuzz.h"
#include "kernel/ublk-params.h"

static uint64_t take(const uint8_t **data, size_t *size)
{
	uint64_t value = 0;
	size_t n = *size < sizeof(value) ? *size : sizeof(value);

	if (n > 0)
		memcpy(&value, *data, n);
	*data += n;
	*size -= n;
	return value;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ublk_limits limits = { 0 }, described = { 0 };
	struct ublk_params params, again, lost;
	const struct ublk_param *table;
	const char *field = NULL, *why = NULL;
	uint32_t buffers = (uint32_t)take(&data, &size);
	bool checked = true;
	size_t n;

	table = ublk_params_table(&n);
	for (size_t i = 0; i < n; i++) {
		uint64_t value = take(&data, &size);

		if (table[i].kind == UBLK_PARAM_BOOL)
			value &= 1;
		else if (table[i].kind == UBLK_PARAM_U32)
			value &= UINT32_MAX;
		/* 0 is what was not given */
		checked = checked && (!value || !ublk_params_check(&table[i], value));
		ublk_params_store(&limits, &table[i], value);
		FUZZ_ASSERT(ublk_params_get(&limits, &table[i]) == value);
		FUZZ_ASSERT(ublk_params_find(table[i].name) == &table[i]);
	}
	if (ublk_params_build(&limits, buffers, &params, &field, &why) < 0) {
		FUZZ_ASSERT(field && why && ublk_params_find(field));
		return 0;
	}
	/* what is wrong by itself is wrong together with others */
	FUZZ_ASSERT(checked);
	FUZZ_ASSERT(params.basic.dev_sectors > 0);
	FUZZ_ASSERT((uint64_t)params.basic.max_sectors << 9 <= buffers);
	FUZZ_ASSERT(params.basic.logical_bs_shift >= 9);
	FUZZ_ASSERT(params.basic.physical_bs_shift >= params.basic.logical_bs_shift);
	ublk_params_describe(&params, &described);
	FUZZ_ASSERT(described.size == limits.size);
	FUZZ_ASSERT(ublk_params_build(&described, buffers, &again, &field, &why) == 0);
	FUZZ_ASSERT(memcmp(&params, &again, sizeof(params)) == 0);
	FUZZ_ASSERT(ublk_params_find_lost(&limits, &params, &params) == NULL);
	/* a driver that knows the first block alone */
	lost = params;
	lost.types &= UBLK_PARAM_TYPE_BASIC;
	ublk_params_find_lost(&limits, &params, &lost);
	return 0;
}
