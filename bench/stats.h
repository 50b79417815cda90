/* Times that the load generator has taken, and their percentiles. */

#ifndef STATS_H
#define STATS_H

#include "wire.h"

static double *samples; /* in seconds */
static size_t sampled, sample_room;

static void sample(double seconds) {
    if (sampled == sample_room) samples = realloc(samples, (sample_room = sample_room * 2 + 1024) * sizeof *samples);
    samples[sampled++] = seconds;
}

static int by_size(const void *a, const void *b) {
    return (*(double *)a > *(double *)b) - (*(double *)a < *(double *)b);
}

/* In milliseconds; the samples must be sorted. */
static double percentile(double p) {
    return sampled ? samples[(size_t)(p * (sampled - 1) + .999999)] * 1e3 : 0;
}

/* Prints what `wall` seconds were: the share of a core that was used (1 is all of it) and the times in milliseconds. */
static void print_stats(double wall, double used) {
    qsort(samples, sampled, sizeof *samples, by_size);
    printf("\"seconds\": %.6f, \"load\": %.4f, \"samples\": %zu, \"p50\": %.4f, \"p99\": %.4f, \"max\": %.4f", wall,
           used / wall, sampled, percentile(.5), percentile(.99), percentile(1));
    sampled = 0;
}

#endif
