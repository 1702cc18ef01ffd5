#!/usr/bin/env bash
# need.sh race|kafka|kcat|python|promtool|chromium: does this machine have what a part of the tests needs?
#
# Exit 0: yes. Exit 1: no, and one line says what is missing and how to have it. Exit 3: no, and ONEFOLD_TEST_REQUIRE (a list
# such as race,kafka,kcat,python,promtool,chromium) says that this part must not be left out.
set -euo pipefail

has() { command -v "$1" >/dev/null 2>&1; }

case ${1-} in
race)
	if has "$(go env CC)"; then exit 0; fi
	lacks="the race detector needs a C compiler" remedy="apt-get install gcc libc6-dev"
	;;
kafka)
	if has java && has mvn && has openssl; then exit 0; fi
	lacks="a real Apache Kafka needs Java 17, Maven and OpenSSL" remedy="apt-get install default-jre-headless maven openssl"
	;;
kcat)
	if has kcat; then exit 0; fi
	lacks="the tests with another Kafka client need kcat" remedy="apt-get install kcat"
	;;
python)
	for python in "${ONEFOLD_TEST_PYTHON-}" python3 /usr/bin/python3; do
		if "$python" -c "import grpc" >/dev/null 2>&1; then exit 0; fi
	done
	lacks="the plugin in Python needs python3 with grpcio" remedy="apt-get install python3-grpcio"
	;;
promtool)
	if has promtool; then exit 0; fi
	lacks="the tests of the alerts need Prometheus's promtool" remedy="apt-get install prometheus"
	;;
chromium)
	if has chromium && has npm; then exit 0; fi
	lacks="the tests in a real browser need chromium, and npm to fetch axe-core" remedy="apt-get install chromium npm"
	;;
*)
	echo "need.sh: race, kafka, kcat, python, promtool or chromium is expected" >&2
	exit 2
	;;
esac

case ",${ONEFOLD_TEST_REQUIRE-}," in
*",$1,"*)
	echo "MISSING: $lacks, and ONEFOLD_TEST_REQUIRE names $1: $remedy" >&2
	exit 3
	;;
esac
echo "LEFT OUT: $lacks: $remedy" >&2
exit 1
