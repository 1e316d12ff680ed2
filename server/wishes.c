/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The user's wishes over the target's limits. See wishes.h. */
#include "wishes.h"

#include <errno.h>
#include <unistd.h>

static bool is_given(const struct options *options, const char *name)
{
	return options->given & ublk_params_bit(ublk_params_find(name));
}

/* What a wish may not make of the target. */
static int check_wish(const char *name, const struct ublk_limits *wish,
		      const struct ublk_limits *limits, struct server_error *error)
{
	static const char *const bounded[] = { "max-discard-size", "max-write-zeroes-size" };

	for (size_t i = 0; i < sizeof(bounded) / sizeof(*bounded); i++) {
		const struct ublk_param *param = ublk_params_find(bounded[i]);
		uint64_t wished = ublk_params_get(wish, param);
		uint64_t most = ublk_params_get(limits, param);

		if (wished > most && !most)
			return server_error_set(error, EINVAL,
						"option \"%s\" is %llu, but target %s cannot do "
						"that %s; leave the option out",
						param->name, (unsigned long long)wished, name,
						limits->read_only ? "on a read-only device"
								  : "with what is behind it");
		if (wished > most)
			return server_error_set(error, EINVAL,
						"option \"%s\" is %llu, but target %s takes at "
						"most %llu at once",
						param->name, (unsigned long long)wished, name,
						(unsigned long long)most);
	}
	if (!wish->volatile_cache && limits->volatile_cache)
		return server_error_set(
			error, EINVAL,
			"option \"volatile-cache\" is false, but target %s makes data durable when "
			"it is told to flush: without a cache nobody would tell it",
			name);
	if (wish->volatile_cache && !limits->volatile_cache)
		return server_error_set(error, EINVAL,
					"option \"volatile-cache\" is true, but target %s has none",
					name);
	/* Where that follows from a cache that is not there, ublk_params_build() says so. */
	if (wish->fua && !limits->fua && limits->volatile_cache)
		return server_error_set(error, EINVAL,
					"option \"fua\" is true, but target %s has no such writes",
					name);
	return 0;
}

/* What was not wished for follows what was. */
static void adapt(const struct options *options, struct ublk_limits *limits)
{
	uint32_t physical = limits->physical_block_size;

	/* The defaults, as ublk_params_build() has them. */
	if (!physical)
		physical = (uint32_t)sysconf(_SC_PAGESIZE);
	if (physical < limits->logical_block_size)
		physical = limits->logical_block_size;
	if (!is_given(options, "io-min") && limits->io_min < physical)
		limits->io_min = physical;
	if (!is_given(options, "io-opt") && limits->io_opt < limits->io_min)
		limits->io_opt = limits->io_min;
	if (!is_given(options, "fua") && !limits->volatile_cache)
		limits->fua = false;
	if (!is_given(options, "discard-granularity")) {
		if (!limits->max_discard_size)
			limits->discard_granularity = 0;
		else if (limits->discard_granularity < physical)
			limits->discard_granularity = physical;
	}
	if (!is_given(options, "discard-alignment") && !limits->max_discard_size)
		limits->discard_alignment = 0;
}

int wishes_apply(const struct options *options, const char *name, struct ublk_limits *limits,
		 struct server_error *error)
{
	struct ublk_limits wish = *limits;
	const struct ublk_param *table;
	struct ublk_params params;
	const char *field, *why;
	size_t n;
	int ret;

	table = ublk_params_table(&n);
	for (size_t i = 0; i < n; i++)
		/* The target has looked at the size itself: it may have had to round it down. */
		if ((options->given & ublk_params_bit(&table[i])) &&
		    table[i].offset != offsetof(struct ublk_limits, size))
			ublk_params_store(&wish, &table[i],
					  ublk_params_get(&options->limits, &table[i]));
	ret = check_wish(name, &wish, limits, error);
	if (ret < 0)
		return ret;
	adapt(options, &wish);
	if (is_given(options, "max-discard-size") && !is_given(options, "discard-granularity") &&
	    wish.max_discard_size && wish.max_discard_size < wish.discard_granularity)
		return server_error_set(error, EINVAL,
					"option \"max-discard-size\" is %llu, less than the "
					"discard granularity, %u",
					(unsigned long long)wish.max_discard_size,
					wish.discard_granularity);
	if (ublk_params_build(&wish, options->max_io_size, &params, &field, &why) < 0)
		return server_error_set(
			error, EINVAL, "option \"%s\" is %llu, which %s", field,
			(unsigned long long)ublk_params_get(&wish, ublk_params_find(field)), why);
	*limits = wish;
	return 0;
}
