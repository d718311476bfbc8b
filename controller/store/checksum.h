/* A number that stands for everything that is stored: it changes with every byte of every object.
 *
 * It is a sum of one number for each part of each object, so that a change costs what it changes, and no order matters but that
 * of a group's rules.  It tells damage, not forgery. */

#ifndef SALLYPORT_CONTROLLER_STORE_CHECKSUM_H
#define SALLYPORT_CONTROLLER_STORE_CHECKSUM_H 1

#include "sallyport/store.h"

uint64_t sp_checksum_object(struct sp_object); /* No object: 0. */
/* What 'change' adds to the sum.  Equal to the difference of both objects, and faster. */
uint64_t sp_checksum_change(const struct sp_change *change);
uint64_t sp_checksum_counters(const struct sp_counters *);

#endif
