# People and CI use the same targets. `make help` lists them.
SHELL := /bin/sh
.DELETE_ON_ERROR:
.PHONY: help run up down env send invoke debug sam-local image stand-in redrive replay test fuzz mutants soak audit bench lines \
  check failure-table outages pictures mails preflight build same sbom starts lock clean

BIN := .venv/bin
EMULATOR := .venv-emulator
AUDIT := .venv-audit
BENCH := .venv-bench
RUNTIME := .venv-runtime
# What functions/requirements.txt locks, and nothing else.
DEPLOYED := .venv-deployed
DELAY ?= 60
LATENCY ?= 300
FAILURES ?= 0
OUTAGE ?= 0
MINUTES ?= 10
FUNCTION ?= DelayedNotifyFunction
STACK ?= payment3-follow-up-dev
# Of samconfig.toml.
ENVIRONMENT ?= default
GIVEN := ADDRESS ARCHITECTURE BASE COUNT DELAY ENVIRONMENT EVENT FAILURES FUNCTION IMAGE LATENCY MINUTES ONLY ORDER OUTAGE QUICK SEED STACK
# What a person gives is a text: neither make nor the shell runs any of it. Make would expand its dollar signs wherever it is
# used or exported, here and in the makes that `sam build` starts; so it is taken as it was written, and recipes read it from
# the environment. MAKEOVERRIDES would hand it on as it came.
$(foreach name,$(GIVEN),$(eval override $(name) := $$(value $(name))))
$(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(eval override $(name) := $$(value $(name)))))
export $(GIVEN)
MAKEOVERRIDES :=
OPTIONS = --delay="$$DELAY" --latency="$$LATENCY" --failures="$$FAILURES" --outage="$$OUTAGE"
EVENT_FILE = $${EVENT:+--event="$$EVENT"}
# Containers: any value of IMAGE means the image flavour. ADDRESS, where they find this machine, and BASE, the image that
# functions run in, are found out unless given.
CONTAINERS = $${ADDRESS:+--address="$$ADDRESS"} $${BASE:+--base="$$BASE"} $${IMAGE:+--image}
# Bytecode is kept apart from the sources: each start of `sam` or pytest compiles thousands of files without it.
unexport PYTHONDONTWRITEBYTECODE PYTHONOPTIMIZE PYTHONHOME
export PYTHONPYCACHEPREFIX := $(CURDIR)/.local/bytecode
# Each environment is where it is said to be, whatever the machine's pip is set to: PIP_USER=1 is Gitpod's default.
export PIP_USER := 0
unexport PIP_TARGET PIP_PREFIX PIP_ROOT UV_SYSTEM_PYTHON
# `exec`, so that who ends make ends the program, which then ends what it started.
# Nothing here may reach a real account by accident; `sam deploy` is called by hand (README).
LOCAL := env -u AWS_PROFILE SAM_CLI_TELEMETRY=0 AWS_EC2_METADATA_DISABLED=true PYTHONPATH=functions:.

help: ## list the targets
	@awk '/^##@ /{print "\n" substr($$0, 5)} /^[a-z-]+( [a-z-]+)*:.*## /{sub(/:.*## /, "\t"); print "  " $$0}' Makefile | expand -t 17

##@ A local AWS
run: .venv/installed $(EMULATOR)/installed ## the whole flow on a local AWS: make run [DELAY=5] [EVENT=file.json] [FAILURES=1] [OUTAGE=20]
	@exec $(LOCAL) $(BIN)/python -m local run $(OPTIONS) $(EVENT_FILE)

up: .venv/installed $(EMULATOR)/installed ## start the local AWS with everything deployed, and keep it
	@exec $(LOCAL) $(BIN)/python -m local up $(OPTIONS)

down: .venv/installed ## stop what `make up` started
	@exec $(LOCAL) $(BIN)/python -m local down

env: .venv/installed ## lead a shell to what `make up` keeps: eval "$(make -s env)"
	@exec $(LOCAL) $(BIN)/python -m local env

send: .venv/installed ## send what `make up` keeps a notification, as Notify does: make send [EVENT=file.json] [COUNT=5]
	@exec $(LOCAL) $(BIN)/python -m local send $${COUNT:+--count="$$COUNT"} $(EVENT_FILE)

##@ Containers
invoke debug: .venv/installed ## one function in a container, by sam local, or under a debugger: make invoke [FUNCTION=RecheckFunction EVENT=events/recheck.json] [IMAGE=1]
	@exec $(LOCAL) $(BIN)/python -m local $@ $(CONTAINERS) --function="$$FUNCTION" $(EVENT_FILE)

sam-local: .venv/installed $(EMULATOR)/installed ## every event and the whole flow through containers: make sam-local [IMAGE=1] [DELAY=60]
	@$(LOCAL) $(BIN)/python -m pytest --verbose --no-header -m containers tests/local/test_sam_local.py

image: .venv/installed ## build the image flavour: make image [ARCHITECTURE=arm64] [BASE=public.ecr.aws/lambda/python@sha256:...]
	@exec $(LOCAL) $(BIN)/python -m local image $(CONTAINERS) $${ARCHITECTURE:+--architecture="$$ARCHITECTURE"}

stand-in: .venv/installed ## build the stand-in for AWS's base image, where that cannot be pulled
	@exec $(LOCAL) $(BIN)/python -m local stand-in

##@ Operate: these act on the account that the environment names
# These act on the account that the environment's profile, region and endpoint name: not LOCAL.
FOLLOWUPS := $(BIN)/followups

preflight: .venv/installed ## would a deployment work in this account? make preflight [ENVIRONMENT=prod]
	@$(FOLLOWUPS) preflight --config-env="$$ENVIRONMENT"

redrive: .venv/installed ## send what failed back to its function: make redrive [STACK=payment3-follow-up-prod]
	@$(FOLLOWUPS) dead-letters redrive --yes --stack="$$STACK"

replay: .venv/installed ## run an order's missing passes now: make replay ORDER=... [STACK=...]
	@test -n "$$ORDER" || { echo 'say which order: make replay ORDER=...' >&2; exit 2; }
	@$(FOLLOWUPS) replay --yes --stack="$$STACK" -- "$$ORDER"

##@ Check
# The longest first: the local stack's tests mostly wait for it, so three workers share two cores well.
# By file: the lock's pytest and xdist together ignore the mark for groups.
ROOMS := $(addprefix tests/,local functions followups template project support)
WORKERS := --numprocesses 3 --dist loadfile --no-loadscope-reorder

test: .venv/installed $(EMULATOR)/installed $(RUNTIME)/installed check ## everything that must hold: checks, unit tests, coverage, end to end
	$(LOCAL) $(BIN)/python -m pytest $(WORKERS) --cov --cov-report=term-missing $(ROOMS)

fuzz: .venv/installed ## random events for the parsers: make fuzz [COUNT=200000] [SEED=7, to repeat a run]
	@$(LOCAL) $(BIN)/python -m tests.support.fuzz $${COUNT:+--count="$$COUNT"} $${SEED:+--seed="$$SEED"}

mutants: .venv/installed ## faults put into the code that carries the promise: make mutants [ONLY=record]
	@$(LOCAL) $(BIN)/python -m tests.support.mutants $${ONLY:+--only="$$ONLY"}

# Somebody has read each: it asks at most for its notice to be kept. Another one fails the audit: read it, then add it or not.
LICENCES := MIT;MIT License;MIT No Attribution License (MIT-0);Apache-2.0;BSD-2-Clause;BSD-3-Clause;PSF-2.0;ISC
audit: $(AUDIT)/installed $(DEPLOYED)/installed ## known vulnerabilities of what is locked, licences of what is deployed, the template by checkov's rules
	@$(AUDIT)/bin/python requirements/audit.py functions/requirements.txt requirements/dev.txt requirements/emulator.txt \
	  requirements/runtime.txt requirements/debugger.txt requirements/bench.txt
	@$(AUDIT)/bin/pip-licenses --python=$(DEPLOYED)/bin/python --from=mixed --format=plain --allow-only='$(LICENCES)'
	@env -u BC_API_KEY $(AUDIT)/bin/checkov --file template.yaml --framework cloudformation --skip-download --compact --quiet

check: .venv/installed ## format, lint, types, template
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(LOCAL) AWS_DEFAULT_REGION=ap-southeast-1 AWS_ACCESS_KEY_ID=none AWS_SECRET_ACCESS_KEY=none \
	  $(BIN)/sam validate --lint --template template.yaml

soak: .venv/installed ## random stories of faults for as long as you like: make soak [MINUTES=10] [SEED=7, to repeat one]
	@$(LOCAL) AWS_DEFAULT_REGION=ap-southeast-1 $(BIN)/python -m tests.support.soak --minutes="$$MINUTES" $${SEED:+--seed="$$SEED"}

##@ Measure, and write documents anew
bench: .venv/installed $(RUNTIME)/installed $(BENCH)/installed ## measure, and write docs/benchmarks.md: 9 minutes; a look at it in 2: make bench QUICK=1
	@$(LOCAL) $(BENCH)/bin/python -m bench $${QUICK:+--quick}

lines: .venv/installed ## lines of code in each room, without blank lines, comments and docstrings
	@$(LOCAL) $(BIN)/python -m bench.lines

pictures: .venv/installed $(EMULATOR)/installed ## write docs/images/ anew: the operators' tools on a local stack (needs Chromium)
	@$(LOCAL) $(BIN)/python -m tests.support.pictures

failure-table: .venv/installed ## write docs/failure-table.md anew from what the tests' stories show
	@$(LOCAL) AWS_DEFAULT_REGION=ap-southeast-1 $(BIN)/python -m tests.support.failure_table

outages: .venv/installed ## write docs/outages.md anew: each dependency down for 10 minutes to 80 hours, in virtual time
	@$(LOCAL) AWS_DEFAULT_REGION=ap-southeast-1 $(BIN)/python -m tests.support.outages

mails: .venv/installed ## write one error mail of each kind into .local/mails, to be looked at
	@$(LOCAL) AWS_DEFAULT_REGION=ap-southeast-1 $(BIN)/python -m tests.support.mails

##@ Build
build: .venv/installed ## build the functions into .aws-sam/build, and say how large they are
	@began=$$(date +%s) && $(LOCAL) PATH="$$PWD/$(BIN):$$PATH" $(BIN)/sam build \
	  && $(LOCAL) $(BIN)/python -m artefact size --began $$began

same: build ## does pip, which builds where there is no uv, make the same bytes?
	@UV= PATH="$$PWD/$(BIN):$$PATH" $(BIN)/sam build RecheckFunction --build-dir .aws-sam/by-pip > .aws-sam/by-pip.log 2>&1 \
	  || { cat .aws-sam/by-pip.log; exit 1; }
	@diff -r .aws-sam/build/RecheckFunction .aws-sam/by-pip/RecheckFunction && echo "by uv and by pip: the same bytes"

sbom: build $(AUDIT)/installed $(DEPLOYED)/installed ## write what is in the functions to .aws-sam/build/sbom.cdx.json (CycloneDX)
	@$(AUDIT)/bin/cyclonedx-py environment $(DEPLOYED)/bin/python --pyproject pyproject.toml --mc-type application \
	  --output-reproducible --output-format JSON --outfile .aws-sam/build/sbom.cdx.json

starts: build $(RUNTIME)/installed ## cold starts of what was built, under Lambda's runtime emulator: make starts [COUNT=7]
	@$(LOCAL) $(BIN)/python -m artefact starts $${COUNT:+--count="$$COUNT"}

##@ Environments
lock: .venv/installed ## write the locked requirements anew from pyproject.toml
	./requirements/lock

clean: ## remove what the other targets made
	rm -rf .venv $(EMULATOR) $(AUDIT) $(RUNTIME) $(DEPLOYED) $(BENCH) .aws-sam .local .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage

.venv/installed: requirements/bootstrap.txt requirements/dev.txt
	@echo "Making .venv" >&2
	@rm -rf .venv && "$$(local/find-python)" -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

$(EMULATOR)/installed: requirements/emulator.txt | .venv/installed
	@echo "Making $(EMULATOR)" >&2
	@rm -rf $(EMULATOR) && "$$(local/find-python)" -m venv --without-pip $(EMULATOR)
	@$(BIN)/uv pip install --quiet --python $(EMULATOR)/bin/python --require-hashes -r requirements/emulator.txt
	@touch $@

$(AUDIT)/installed: requirements/audit.txt | .venv/installed
	@echo "Making $(AUDIT)" >&2
	@rm -rf $(AUDIT) && "$$(local/find-python)" -m venv --without-pip $(AUDIT)
	@$(BIN)/uv pip install --quiet --python $(AUDIT)/bin/python --require-hashes -r requirements/audit.txt
	@touch $@

$(DEPLOYED)/installed: functions/requirements.txt | .venv/installed
	@echo "Making $(DEPLOYED)" >&2
	@rm -rf $(DEPLOYED) && "$$(local/find-python)" -m venv --without-pip $(DEPLOYED)
	@$(BIN)/uv pip install --quiet --python $(DEPLOYED)/bin/python --require-hashes -r functions/requirements.txt
	@touch $@

# With bytecode, as Lambda's own runtime is thought to be (docs/decisions/19).
$(RUNTIME)/installed: requirements/runtime.txt | .venv/installed
	@echo "Making $(RUNTIME)" >&2
	@rm -rf $(RUNTIME) && "$$(local/find-python)" -m venv --without-pip $(RUNTIME)
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(RUNTIME)/bin/python --require-hashes -r requirements/runtime.txt
	@touch $@

# With bytecode: what Lambda's own runtime has compiled is not what is measured.
$(BENCH)/installed: requirements/bench.txt | .venv/installed
	@echo "Making $(BENCH)" >&2
	@rm -rf $(BENCH) && "$$(local/find-python)" -m venv --without-pip $(BENCH)
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BENCH)/bin/python --require-hashes -r requirements/bench.txt
	@touch $@
