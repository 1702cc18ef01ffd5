#!/usr/bin/env bash
# A real Apache Kafka for tests: one node, KRaft, on the loopback address, without a container.
#
#   kafka.sh start DIR           start a node whose data is in DIR, wait until it serves, print its address
#   kafka.sh stop DIR            end it
#   kafka.sh run DIR COMMAND...  start a node in an empty DIR, run COMMAND with its address in ONEFOLD_TEST_BROKERS, end it
#
# Beside the plain listener are two by TLS, whose addresses and certificates are in DIR/tls, in ONEFOLD_TEST_TLS for COMMAND: one that
# wants a login (onefold, open-sesame; or an unsigned token) and ends its sessions after 2 s, one that wants a certificate.
#
# The jars of pom.xml are in KAFKA_LIB. A node that was started before in DIR keeps its data and its port. Java 17 or newer.
set -euo pipefail

heap=${KAFKA_HEAP:-512m}
ready_within=60 # seconds
stop_within=15

usage() {
	sed -n '4,6s/^# *//p' "$0" >&2
	exit 2
}

free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Four neighbouring ports below those that the kernel hands out to clients: the broker's, the controller's, and two by TLS.
choose_port() {
	local port
	for _ in $(seq 50); do
		port=$((20000 + RANDOM % 2500 * 4))
		if free "$port" && free $((port + 1)) && free $((port + 2)) && free $((port + 3)); then
			echo "$port"
			return
		fi
	done
	echo "kafka.sh: no free port between 20000 and 30000" >&2
	return 1
}

alive() { [ -f "$dir/pid" ] && kill -0 "$(cat "$dir/pid")" 2>/dev/null; }

# certify NAME: a certificate for 127.0.0.1 and its key, signed by the authority of DIR/tls.
certify() {
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -keyout "$dir/tls/$1.key" -out "$dir/tls/$1.csr"
	openssl x509 -req -in "$dir/tls/$1.csr" -CA "$dir/tls/ca.pem" -CAkey "$dir/tls/ca.key" -CAcreateserial -days 30 \
		-extfile <(echo subjectAltName=IP:127.0.0.1) -out "$dir/tls/$1.pem"
}

certificates() {
	rm -rf "$dir/tls"
	mkdir -p "$dir/tls"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=test -days 30 -keyout "$dir/tls/ca.key" -out "$dir/tls/ca.pem"
	certify broker
	certify client
	cat "$dir/tls/broker.key" "$dir/tls/broker.pem" >"$dir/tls/broker.keystore.pem"
}

configure() {
	local port=$1
	if ! certificates >"$dir/certificates.log" 2>&1; then
		tail -n 5 "$dir/certificates.log" >&2
		return 1
	fi
	echo "127.0.0.1:$((port + 2))" >"$dir/tls/login"
	echo "127.0.0.1:$((port + 3))" >"$dir/tls/mutual"
	cat >"$dir/server.properties" <<-END
		process.roles=broker,controller
		node.id=1
		controller.quorum.voters=1@127.0.0.1:$((port + 1))
		controller.listener.names=CONTROLLER
		listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1)),LOGIN://127.0.0.1:$((port + 2)),MUTUAL://127.0.0.1:$((port + 3))
		advertised.listeners=PLAINTEXT://127.0.0.1:$port,LOGIN://127.0.0.1:$((port + 2)),MUTUAL://127.0.0.1:$((port + 3))
		listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,LOGIN:SASL_SSL,MUTUAL:SSL
		ssl.keystore.type=PEM
		ssl.keystore.location=$dir/tls/broker.keystore.pem
		ssl.truststore.type=PEM
		ssl.truststore.location=$dir/tls/ca.pem
		listener.name.mutual.ssl.client.auth=required
		listener.name.login.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
		listener.name.login.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_onefold="open-sesame";
		listener.name.login.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
		listener.name.login.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
		listener.name.login.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";
		connections.max.reauth.ms=2000
		log.dirs=$dir/data
		auto.create.topics.enable=false
		num.partitions=3
		default.replication.factor=1
		min.insync.replicas=1
		offsets.topic.num.partitions=3
		offsets.topic.replication.factor=1
		transaction.state.log.num.partitions=3
		transaction.state.log.replication.factor=1
		transaction.state.log.min.isr=1
		group.initial.rebalance.delay.ms=0
		log.retention.ms=-1
		message.max.bytes=20971520
		replica.fetch.max.bytes=20971520
	END
	cat >"$dir/log4j2.properties" <<-END
		rootLogger.level = INFO
		rootLogger.appenderRef.stdout.ref = STDOUT
		appender.stdout.type = Console
		appender.stdout.name = STDOUT
		appender.stdout.layout.type = PatternLayout
		appender.stdout.layout.pattern = %d %p %c{1}: %m%n
	END
	echo "127.0.0.1:$port" >"$dir/address"
}

# Tests start a node for minutes: a quick start counts for more than a fast node. A list and no function: in the background a
# function would be a shell of its own, and stop would end that shell instead of the node.
java_options() {
	java=(java "-Xmx$heap" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "-Dlog4j2.configurationFile=$dir/log4j2.properties"
		-cp "$KAFKA_LIB/*")
}

start() {
	java_options
	if alive; then
		cat "$dir/address"
		return
	fi
	if [ ! -f "$dir/data/meta.properties" ]; then
		configure "$(choose_port)"
		if ! "${java[@]}" kafka.tools.StorageTool format -t AAAAAAAAAAAAAAAAAAAAAQ -c "$dir/server.properties" \
			--add-scram 'SCRAM-SHA-256=[name=onefold,password=open-sesame]' \
			--add-scram 'SCRAM-SHA-512=[name=onefold,password=open-sesame]' >"$dir/format.log" 2>&1; then
			tail -n 5 "$dir/format.log" >&2
			return 1
		fi
	fi
	rm -f "$dir/server.log" # a former start's would say at once that this one is ready
	"${java[@]}" kafka.Kafka "$dir/server.properties" >"$dir/server.log" 2>&1 </dev/null &
	echo $! >"$dir/pid"
	for _ in $(seq $((ready_within * 10))); do
		if grep -qs 'Kafka Server started' "$dir/server.log"; then
			cat "$dir/address"
			return
		fi
		if ! alive; then
			grep -m 5 -E 'ERROR|FATAL|Caused by' "$dir/server.log" >&2 || tail -n 5 "$dir/server.log" >&2
			return 1
		fi
		sleep 0.1
	done
	echo "kafka.sh: not ready after $ready_within s: see $dir/server.log" >&2
	return 1
}

stop() {
	alive || return 0
	local pid
	pid=$(cat "$dir/pid")
	kill "$pid"
	for _ in $(seq $((stop_within * 10))); do
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.1
	done
	kill -9 "$pid" 2>/dev/null || true
	rm -f "$dir/pid"
}

run() {
	stop
	rm -rf "${dir:?}/data"
	trap stop EXIT
	ONEFOLD_TEST_BROKERS=$(start)
	export ONEFOLD_TEST_BROKERS ONEFOLD_TEST_TLS="$dir/tls"
	"$@"
}

[ $# -ge 2 ] || usage
command=$1
mkdir -p "$2"
dir=$(cd "$2" && pwd)
shift 2
case $command in
start | stop) $command ;;
run) run "$@" ;;
*) usage ;;
esac
