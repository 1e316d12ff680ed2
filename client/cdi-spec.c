/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cdi-spec.h"

#include <string.h>

#include "json.h"

/* The first version with hostPath. */
#define CDI_VERSION "0.5.0"

#define BY_UBLK "/dev/disk/by-ublk/"

static GVariant *make_node(const char *path, const char *host_path)
{
	GVariantBuilder node;

	g_variant_builder_init(&node, G_VARIANT_TYPE_VARDICT);
	g_variant_builder_add(&node, "{sv}", "path", g_variant_new_string(path));
	g_variant_builder_add(&node, "{sv}", "hostPath", g_variant_new_string(host_path));
	g_variant_builder_add(&node, "{sv}", "permissions", g_variant_new_string("rw"));
	return g_variant_builder_end(&node);
}

/* What an engine puts into the container: the node, also by the name that the host links to it. */
static GVariant *make_edits(const Device *device)
{
	g_autofree char *link = g_strdup_printf(BY_UBLK "%u-%s", device->owner_uid, device->name);
	GVariantBuilder nodes, edits;

	g_variant_builder_init(&nodes, G_VARIANT_TYPE("aa{sv}"));
	g_variant_builder_add_value(&nodes, make_node(device->block_device, device->block_device));
	g_variant_builder_add_value(&nodes, make_node(link, device->block_device));
	g_variant_builder_init(&edits, G_VARIANT_TYPE_VARDICT);
	g_variant_builder_add(&edits, "{sv}", "deviceNodes", g_variant_builder_end(&nodes));
	return g_variant_builder_end(&edits);
}

/*
 * One bad name would make the whole file invalid, everybody's devices with it. CDI's rule for the
 * end of a name is stricter than ublkd's; what ublkd says besides is not believed either.
 */
static gboolean is_name(const char *name)
{
	gsize length = strlen(name);

	return length > 0 && g_ascii_isalnum(name[0]) && g_ascii_isalnum(name[length - 1]) &&
	       strspn(name, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "._-") == length;
}

static GVariant *make_device(const Device *device, gboolean everybody)
{
	g_autofree char *name = everybody
					? g_strdup_printf("%u-%s", device->owner_uid, device->name)
					: g_strdup(device->name);
	GVariantBuilder entry;

	g_variant_builder_init(&entry, G_VARIANT_TYPE_VARDICT);
	g_variant_builder_add(&entry, "{sv}", "name", g_variant_new_string(name));
	g_variant_builder_add(&entry, "{sv}", "containerEdits", make_edits(device));
	return g_variant_builder_end(&entry);
}

char *cdi_spec_print(GPtrArray *devices, guint32 uid, gboolean everybody)
{
	GVariantBuilder list, spec;
	gboolean any = FALSE;

	g_variant_builder_init(&list, G_VARIANT_TYPE("aa{sv}"));
	for (guint i = 0; i < devices->len; i++) {
		const Device *device = devices->pdata[i];

		if (strcmp(device->state, UBLK_STATE_LIVE) != 0 || !is_name(device->name) ||
		    (!everybody && device->owner_uid != uid))
			continue;
		g_variant_builder_add_value(&list, make_device(device, everybody));
		any = TRUE;
	}
	if (!any) {
		g_variant_builder_clear(&list);
		return NULL;
	}
	g_variant_builder_init(&spec, G_VARIANT_TYPE_VARDICT);
	g_variant_builder_add(&spec, "{sv}", "cdiVersion", g_variant_new_string(CDI_VERSION));
	g_variant_builder_add(&spec, "{sv}", "kind", g_variant_new_string(CDI_SPEC_KIND));
	g_variant_builder_add(&spec, "{sv}", "devices", g_variant_builder_end(&list));
	return json_print(g_variant_builder_end(&spec));
}
