#include "fs/store.h"
#include <errno.h>
int store_open(const char *p, const struct store_options *o, struct store **s)
{
	(void)p;
	(void)o;
	*s = 0;
	return 0;
}
int store_claim(struct store *s, pid_t *h)
{
	(void)s;
	(void)h;
	return 0;
}
int store_writable(struct store *s)
{
	(void)s;
	return 0;
}
int store_usage(struct store *s, struct store_usage *u)
{
	(void)s;
	(void)u;
	return 0;
}
int store_read(struct store *s, enum store_dir d, const struct name_ref *r,
	       struct store_entry *e, int *f)
{
	(void)s;
	(void)d;
	(void)r;
	(void)e;
	(void)f;
	return -ENOENT;
}
int store_resolve(struct store *s, enum store_dir d, const struct name_ref *r,
		  struct store_entry *e, int *f)
{
	(void)s;
	(void)d;
	(void)r;
	(void)e;
	(void)f;
	return -ENOENT;
}
int store_names(struct store *s, enum store_dir d, store_names_fn f, void *u)
{
	(void)s;
	(void)d;
	(void)f;
	(void)u;
	return 0;
}
int store_follow(struct store *s, store_follow_fn f, void *u)
{
	(void)s;
	(void)f;
	(void)u;
	return 0;
}
const char *store_watch_path(struct store *s)
{
	(void)s;
	return "/tmp";
}
