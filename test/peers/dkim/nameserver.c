/* Preloaded into a program whose resolver reads /etc/resolv.conf, this makes it
 * ask the name server on loopback whose port is in TEST_DNS_PORT. Nothing else
 * about the program changes. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdlib.h>

#undef res_ninit
int __res_ninit(res_state state)
{
	int (*real)(res_state) = (int (*)(res_state))dlsym(RTLD_NEXT, "__res_ninit");
	const char *port = getenv("TEST_DNS_PORT");
	if (real == NULL || port == NULL || real(state) != 0)
		return -1;
	state->nscount = 1;
	state->nsaddr_list[0].sin_family = AF_INET;
	state->nsaddr_list[0].sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	state->nsaddr_list[0].sin_port = htons(atoi(port));
	state->retrans = 1;
	state->retry = 2;
	return 0;
}
