# choria: build, show, test, install. `make` alone builds the release binary.
CARGO   ?= cargo
DESTDIR ?=
PREFIX  ?= /usr
SYSCONFDIR ?= /etc
UNITDIR ?= $(PREFIX)/lib/systemd/system
# Where zsh looks: that of Debian has a directory of its own for what packages bring.
ZSHDIR  ?= $(PREFIX)/share/zsh/$(if $(and $(filter /usr,$(PREFIX)),$(wildcard /etc/debian_version)),vendor-completions,site-functions)
TARGET  := $(or $(CARGO_TARGET_DIR),target)

.PHONY: build demo demo-cluster test soak bench lint doc man install dist packages tarball image audit check-tools check-test-tools check-scripts fuzz

build: check-tools
	$(CARGO) build --locked --release

# The development profile: its dependencies are optimised, it compiles fast, and
# `make test` uses the same objects.
demo: check-tools
	$(CARGO) build --locked
	@KEEP=$(KEEP) packaging/demo/demo.sh $(TARGET)/debug/choria

# Three brokers that are one; needs nats-server in PATH, or NATS_SERVER.
demo-cluster: check-tools
	$(CARGO) build --locked
	@packaging/demo/cluster.sh $(TARGET)/debug/choria

test: check-test-tools check-scripts lint doc
	$(CARGO) test --locked --workspace

lint: check-tools
	$(CARGO) fmt --check --package choria --package choria-puppet
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

# Hours instead of seconds, and thousands instead of dozens: MINUTES of each, 10,000 NODES that register.
soak: check-test-tools
	$(CARGO) test --locked --release --no-run --test it
	$(SOAK) CHORIA_TEST_NODES=$(or $(NODES),10000) $(RUN) nodes_register_all_day
	$(SOAK) CHORIA_TEST_NODES=500 $(RUN) memory_stays_flat_under_churn
	$(SOAK) CHORIA_TEST_NODES=100 $(RUN) a_day_of_machines_leaves_nothing_behind
	CHORIA_TEST_NODES=500 $(RUN) what_a_breaking_link_loses_is_told
	CHORIA_TEST_WAITING=1000 $(RUN) none_is_lost_and_none_doubled_while_brokers_die
SOAK = CHORIA_TEST_SECONDS=$$(( $(or $(MINUTES),5) * 60 ))
RUN  = $(CARGO) test --locked --release --test it -- --nocapture --test-threads 1

bench: check-tools
	$(CARGO) bench --locked --bench broker --bench fleet --bench provisioning --bench files

# Longer fuzzing of every decoder, or of those whose test names hold ONLY; see
# docs/development.md. Without a time limit of its own the library stops early.
fuzz: check-tools
	BOLERO_RANDOM_SEED=$(strip $(or $(SEED),$(shell od -An -N8 -tu8 /dev/urandom))) \
	    BOLERO_RANDOM_ITERATIONS=$(or $(INPUTS),$(ITERATIONS),1000000) BOLERO_RANDOM_TEST_TIME_MS=86400000 \
	    $(CARGO) test --locked --workspace --release --lib -- --nocapture $(ONLY)

doc: check-tools
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --lib

man: check-tools
	$(CARGO) run --locked --quiet -- tool man man

# Known vulnerabilities; needs the network and cargo-deny.
audit:
	$(CARGO) deny check advisories bans licenses sources

# What packages ship.
dist: check-tools
	$(CARGO) build --locked --profile dist
	@ls -l $(TARGET)/dist/choria

# A Debian package, an RPM and a tarball of it; needs dpkg-deb and rpmbuild.
packages: dist
	BINARY=$(abspath $(TARGET))/dist/choria packaging/packages/build.sh $(TARGET)/packages

# A tarball for any Linux of the last ten years, and an image for containers made of it;
# the first fetches a linker for an old C library once.
tarball: check-tools
	packaging/packages/portable.sh $(abspath $(TARGET))

image: tarball
	packaging/packages/image.sh $(TARGET)/packages/choria-rs-*-linux-*.tar.gz $(TARGET)/packages/image

# Installs a program that is there: `make` as yourself, then `make install` as root,
# who needs no Rust. Owners are set where the user choria is known and DESTDIR is not
# set; packages make the user and set them.
BINARY ?= $(TARGET)/release/choria
ETC    := $(DESTDIR)$(SYSCONFDIR)
SHARE  := $(DESTDIR)$(PREFIX)/share
install:
	@test -x $(BINARY) || { echo "there is no $(BINARY): run make first, as yourself" >&2; exit 1; }
	install -D -m 0755 $(BINARY) $(DESTDIR)$(PREFIX)/bin/choria
	ln -sf choria $(DESTDIR)$(PREFIX)/bin/mco
	for unit in broker server provisioner alertd tally tasks; do \
	    install -D -m 0644 packaging/systemd/choria-$$unit.service $(DESTDIR)$(UNITDIR)/choria-$$unit.service; \
	    sed -i 's|/usr/bin/choria|$(PREFIX)/bin/choria|' $(DESTDIR)$(UNITDIR)/choria-$$unit.service; \
	done
	install -D -m 0644 packaging/systemd/choria.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/choria.conf
	@packaging/user.sh "$(DESTDIR)" $(PREFIX)/lib/sysusers.d/choria.conf
	install -d -m 0755 $(ETC)/choria $(ETC)/choria/policies $(ETC)/choria/tls $(ETC)/choria/plugins
	install -d -m 0750 $(ETC)/choria-provisioner $(ETC)/choria-provisioner/tls
	for file in broker.conf server.conf client.conf provisioner.yaml provisioner-client.conf; do \
	    install -D -m 0644 packaging/config/$$file $(SHARE)/doc/choria/examples/$$file; \
	done
	for file in cluster/broker.conf cluster/client.conf federation/operators-broker.conf \
	    federation/london-broker.conf federation/paris-broker.conf federation/client.conf; do \
	    install -D -m 0644 packaging/samples/$$file $(SHARE)/doc/choria/examples/$$file; \
	done
	for page in README.md docs/*.md docs/*.png examples/*.py examples/*.rs; do \
	    install -D -m 0644 $$page $(SHARE)/doc/choria/$$page; \
	done
	@new() { test -e "$$3" || { echo "install -m $$1 $$2 $$3"; install -D -m "$$1" "$$2" "$$3"; }; }; \
	new 0640 packaging/config/broker.conf $(ETC)/choria/broker.conf && \
	new 0640 packaging/config/server.conf $(ETC)/choria/server.conf && \
	new 0644 packaging/config/client.conf $(ETC)/choria/client.conf && \
	new 0644 packaging/config/classes.txt $(ETC)/choria/classes.txt && \
	new 0644 packaging/config/facts.yaml $(ETC)/choria/facts.yaml && \
	new 0640 packaging/config/provisioner.yaml $(ETC)/choria-provisioner/provisioner.yaml && \
	new 0640 packaging/config/provisioner-client.conf $(ETC)/choria-provisioner/client.conf && \
	new 0644 packaging/logrotate/choria $(ETC)/logrotate.d/choria && \
	for policy in rpcutil choria_util package service puppet; do \
	    new 0644 packaging/config/policies/$$policy.policy $(ETC)/choria/policies/$$policy.policy || exit 1; \
	done
	@packaging/owners.sh "$(DESTDIR)" $(SYSCONFDIR)
	for board in provisioner tally; do \
	    install -D -m 0644 packaging/grafana/$$board.json $(SHARE)/doc/choria/grafana/$$board.json; \
	done
	for machine in packaging/machines/*; do \
	    install -D -m 0644 $$machine/machine.yaml $(SHARE)/choria/machines/$${machine##*/}/machine.yaml; \
	done
	for page in man/*.1; do install -D -m 0644 $$page $(DESTDIR)$(PREFIX)/share/man/man1/$${page##*/}; done
	ln -sf choria.1 $(DESTDIR)$(PREFIX)/share/man/man1/mco.1
	for page in man/*.5; do install -D -m 0644 $$page $(DESTDIR)$(PREFIX)/share/man/man5/$${page##*/}; done
	install -D -m 0644 packaging/completion/choria.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/choria
	install -D -m 0644 packaging/completion/choria.zsh $(DESTDIR)$(ZSHDIR)/_choria
	install -D -m 0644 packaging/completion/choria.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/choria.fish
	ln -sf choria $(DESTDIR)$(PREFIX)/share/bash-completion/completions/mco

# A C compiler for the crypto library, the Rust of Cargo.toml, clippy and fmt.
check-tools:
	@packaging/check-tools.sh

# The same, and Python, Node.js, Prometheus and its Alertmanager, nginx, cfssl, jq and Ruby with its
# agents' classes, for the programs that others wrote, a clock that can be stepped,
# systemd, and what makes and judges packages.
check-test-tools:
	@packaging/check-tools.sh test

# That those two install what is missing and nothing else.
check-scripts:
	@packaging/check-tools-test.sh
