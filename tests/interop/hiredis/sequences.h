// Points 5 to 8, in which the replies to several commands, or on two connections, depend on each other.

#ifndef SEQUENCES_H
#define SEQUENCES_H

#include <hiredis/hiredis.h>

void pipelines(redisContext *redis);
void publish_and_subscribe(redisContext *redis, redisContext *subscriber);
void transactions(redisContext *redis, redisContext *other);
void a_blocking_command(redisContext *redis, redisContext *popper);

#endif
