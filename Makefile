# choria: build, show, test, install. `make` alone builds the release binary.
CARGO   ?= cargo
DESTDIR ?=
PREFIX  ?= /usr
SYSCONFDIR ?= /etc
UNITDIR ?= $(PREFIX)/lib/systemd/system
TARGET  := $(or $(CARGO_TARGET_DIR),target)

.PHONY: build demo test bench lint doc man install dist audit check-tools check-test-tools check-scripts fuzz

build: check-tools
	$(CARGO) build --locked --release

# The development profile: its dependencies are optimised, it compiles fast, and
# `make test` uses the same objects.
demo: check-tools
	$(CARGO) build --locked
	@KEEP=$(KEEP) packaging/demo/demo.sh $(TARGET)/debug/choria

test: check-test-tools check-scripts lint doc
	$(CARGO) test --locked

lint: check-tools
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings

bench: check-tools
	$(CARGO) bench --locked --bench broker --bench fleet --bench provisioning

# Longer fuzzing of every decoder, or of those whose test names hold ONLY; see
# docs/development.md. Without a time limit of its own the library stops early.
fuzz: check-tools
	BOLERO_RANDOM_ITERATIONS=$(or $(INPUTS),$(ITERATIONS),1000000) BOLERO_RANDOM_TEST_TIME_MS=86400000 \
	    $(CARGO) test --locked --release --lib -- --nocapture $(ONLY)

doc: check-tools
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --lib

man: check-tools
	$(CARGO) run --locked --quiet -- tool man man

# Known vulnerabilities; needs the network and cargo-deny.
audit:
	$(CARGO) deny check advisories bans licenses sources

# What packages ship.
dist: check-tools
	$(CARGO) build --locked --profile dist
	@ls -l $(TARGET)/dist/choria

install: build
	install -D -m 0755 $(TARGET)/release/choria $(DESTDIR)$(PREFIX)/bin/choria
	ln -sf choria $(DESTDIR)$(PREFIX)/bin/mco
	for unit in choria-broker choria-server choria-provisioner; do \
	    install -D -m 0644 packaging/systemd/$$unit.service $(DESTDIR)$(UNITDIR)/$$unit.service; \
	done
	install -D -m 0644 packaging/systemd/choria.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/choria.conf
	for file in broker server client; do \
	    install -D -m 0644 packaging/config/$$file.conf $(DESTDIR)$(PREFIX)/share/doc/choria/examples/$$file.conf; \
	    test -e $(DESTDIR)$(SYSCONFDIR)/choria/$$file.conf || \
	        install -D -m 0640 packaging/config/$$file.conf $(DESTDIR)$(SYSCONFDIR)/choria/$$file.conf; \
	done
	install -D -m 0644 packaging/config/provisioner.yaml $(DESTDIR)$(PREFIX)/share/doc/choria/examples/provisioner.yaml
	install -D -m 0644 packaging/grafana/provisioner.json $(DESTDIR)$(PREFIX)/share/doc/choria/grafana/provisioner.json
	for page in man/*.1; do install -D -m 0644 $$page $(DESTDIR)$(PREFIX)/share/man/man1/$${page##*/}; done
	for page in man/*.5; do install -D -m 0644 $$page $(DESTDIR)$(PREFIX)/share/man/man5/$${page##*/}; done
	install -D -m 0644 packaging/completion/choria.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/choria
	install -D -m 0644 packaging/completion/choria.zsh $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_choria
	install -D -m 0644 packaging/completion/choria.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/choria.fish
	ln -sf choria $(DESTDIR)$(PREFIX)/share/bash-completion/completions/mco

# A C compiler for the crypto library, the Rust of Cargo.toml, clippy and fmt.
check-tools:
	@packaging/check-tools.sh

# The same, and Python, Node.js, Prometheus, nginx, cfssl, jq and Ruby, for the
# programs that others wrote, a clock that can be stepped, and systemd.
check-test-tools:
	@packaging/check-tools.sh test

# That those two install what is missing and nothing else.
check-scripts:
	@packaging/check-tools-test.sh
