# People and CI use the same targets. What only maintainers need is in CONTRIBUTING.md.
SHELL := /bin/sh
.DELETE_ON_ERROR:
.PHONY: help run up send down test check sam-local env invoke debug build preflight prove audit bench clean \
  image redrive replay lines fuzz mutants soak outages failure-table pictures

BIN := .venv/bin
EMULATOR := .venv-emulator
AUDIT := .venv-audit
BENCH := .venv-bench
RUNTIME := .venv-runtime
# What functions/requirements.txt locks, and nothing else.
DEPLOYED := .venv-deployed
GIVEN := ADDRESS ARCHITECTURE BASE COUNT DELAY ENVIRONMENT EVENT FAILURES FUNCTION IMAGE LATENCY MINUTES ONLY ORDER OUTAGE QUICK SEED STACK
# What a person gives is a text: neither make nor the shell runs any of it. Make would expand its dollar signs wherever it is
# used or exported, here and in the makes that `sam build` starts; so it is taken as it was written, and recipes read it from
# the environment. MAKEOVERRIDES would hand it on as it came.
$(foreach name,$(GIVEN),$(eval override $(name) := $$(value $(name))))
$(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(eval override $(name) := $$(value $(name)))))
export $(GIVEN)
MAKEOVERRIDES :=
# Any value of IMAGE means the image flavour. What is not given is as the program has it.
OPTIONS = $${DELAY:+--delay="$$DELAY"} $${LATENCY:+--latency="$$LATENCY"} $${FAILURES:+--failures="$$FAILURES"} \
  $${OUTAGE:+--outage="$$OUTAGE"} $${EVENT:+--event="$$EVENT"} $${COUNT:+--count="$$COUNT"} $${IMAGE:+--image} \
  $${FUNCTION:+--function="$$FUNCTION"} $${ADDRESS:+--address="$$ADDRESS"} $${BASE:+--base="$$BASE"} \
  $${ARCHITECTURE:+--architecture="$$ARCHITECTURE"}
# Bytecode is kept apart from the sources: each start of `sam` or pytest compiles thousands of files without it.
unexport PYTHONDONTWRITEBYTECODE PYTHONOPTIMIZE PYTHONHOME
export PYTHONPYCACHEPREFIX := $(CURDIR)/.local/bytecode
# Each environment is where it is said to be, whatever the machine's pip is set to: PIP_USER=1 is Gitpod's default.
export PIP_USER := 0
unexport PIP_TARGET PIP_PREFIX PIP_ROOT UV_SYSTEM_PYTHON
# `exec`, so that who ends make ends the program, which then ends what it started.
# Nothing here may reach a real account by accident; `sam deploy` is called by hand (README).
LOCAL := env -u AWS_PROFILE SAM_CLI_TELEMETRY=0 AWS_EC2_METADATA_DISABLED=true PYTHONPATH=functions:.

help:
	@awk '/^##@ /{print "\n" substr($$0, 5)} /^[a-z-]+( [a-z-]+)*:.*## /{sub(/:.*## /, "\t"); print "  " $$0}' Makefile | expand -t 17

##@ A local AWS
run: $(EMULATOR)/installed ## the whole flow on a local AWS: make run [DELAY=5] [EVENT=file.json] [FAILURES=1] [OUTAGE=20]
up: $(EMULATOR)/installed ## start the local AWS with everything deployed, and keep it
send: ## send what `make up` keeps a notification, as Notify does: make send [EVENT=file.json] [COUNT=5]
down: ## stop what `make up` started
run up send down env invoke debug image: .venv/installed
	@exec $(LOCAL) $(BIN)/python -m local $@ $(OPTIONS)

##@ Check
# The longest first: the local stack's tests mostly wait for it, so three workers share two cores well.
# By file: the lock's pytest and xdist together ignore the mark for groups.
ROOMS := $(addprefix tests/,local functions followups template project support)
WORKERS := --numprocesses 3 --dist loadfile --no-loadscope-reorder

test: .venv/installed $(EMULATOR)/installed $(RUNTIME)/installed check ## everything that must hold: checks, unit tests, coverage, end to end
	$(LOCAL) $(BIN)/python -m pytest $(WORKERS) --cov --cov-report=term-missing $(ROOMS)

check: .venv/installed ## format, lint, types, imports, template
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(LOCAL) $(BIN)/lint-imports --no-cache
	$(LOCAL) AWS_DEFAULT_REGION=ap-southeast-1 AWS_ACCESS_KEY_ID=none AWS_SECRET_ACCESS_KEY=none \
	  $(BIN)/sam validate --lint --template template.yaml

sam-local: .venv/installed $(EMULATOR)/installed ## every event and the whole flow through containers: make sam-local [IMAGE=1] [DELAY=60]
	@$(LOCAL) $(BIN)/python -m pytest --verbose --no-header -m containers tests/local/test_sam_local.py

##@ Beside `make up`
env: ## lead a shell, and any AWS tool in it, there: eval "$(make -s env)"
invoke: ## one function in a container, by sam local: make invoke [FUNCTION=RecheckFunction EVENT=events/recheck.json] [IMAGE=1]
debug: ## the same under a debugger: make debug [EVENT=file.json] [IMAGE=1]

##@ Deploy
build: .venv/installed ## build the functions and say how large they are
	@$(LOCAL) PATH="$$PWD/$(BIN):$$PATH" $(BIN)/sam build
	@$(LOCAL) $(BIN)/python -m artefact.size

# These act on the account that the environment's profile, region and endpoint name: not LOCAL.
preflight: .venv/installed ## would a deployment work in this account? make preflight [ENVIRONMENT=prod]
	@$(BIN)/followups preflight $${ENVIRONMENT:+--config-env="$$ENVIRONMENT"}

redrive: COMMAND = dead-letters redrive --yes $${STACK:+--stack="$$STACK"}
replay: COMMAND = replay --yes $${STACK:+--stack="$$STACK"} -- "$${ORDER:?say which order: make replay ORDER=...}"
redrive replay: .venv/installed
	@$(BIN)/followups $(COMMAND)

##@ Prove and measure
prove: fuzz mutants soak ## the longer checks: make fuzz [COUNT=20000], mutants [ONLY=record], soak [MINUTES=10], or all of them

fuzz: .venv/installed
	@$(LOCAL) COUNT="$${COUNT:-20000}" $(BIN)/python -m pytest --no-cov -q tests/functions/test_fuzz.py $${SEED:+--hypothesis-seed="$$SEED"}

# The last three write documents.
mutants soak outages failure-table pictures: .venv/installed
	@$(LOCAL) AWS_DEFAULT_REGION=ap-southeast-1 $(BIN)/python -m tests.support.$(subst -,_,$@) \
	  $${ONLY:+--only="$$ONLY"} $${MINUTES:+--minutes="$$MINUTES"} $${SEED:+--seed="$$SEED"}

# Each was read: it asks at most for its notice to be kept. Another one fails the audit: read it, then add it or not.
LICENCES := MIT;MIT License;MIT No Attribution License (MIT-0);Apache-2.0;BSD-2-Clause;BSD-3-Clause;PSF-2.0;ISC
audit: build $(AUDIT)/installed $(DEPLOYED)/installed ## known vulnerabilities, licences and bill of materials of what is locked, the template by checkov's rules
	@$(AUDIT)/bin/python requirements/audit.py functions/requirements.txt requirements/dev.txt requirements/emulator.txt \
	  requirements/runtime.txt requirements/bench.txt
	@$(AUDIT)/bin/pip-licenses --python=$(DEPLOYED)/bin/python --from=mixed --format=plain --allow-only='$(LICENCES)'
	@env -u BC_API_KEY $(AUDIT)/bin/checkov --file template.yaml --framework cloudformation --skip-download --compact --quiet
	@$(AUDIT)/bin/cyclonedx-py environment $(DEPLOYED)/bin/python --pyproject pyproject.toml --mc-type application \
	  --output-reproducible --output-format JSON --outfile .aws-sam/build/sbom.cdx.json

# How long each room is, before and now.
lines: .venv/installed
	@$(LOCAL) $(BIN)/python -m bench.lines

bench: .venv/installed $(RUNTIME)/installed $(BENCH)/installed ## measure, and write docs/benchmarks.md: 5 minutes; a look in 2: make bench QUICK=1 [ONLY=warm]
	@$(LOCAL) $(BENCH)/bin/python -m bench $${QUICK:+--quick} $${ONLY:+--only="$$ONLY"}

##@ Environments
clean: ## remove what the other targets made
	rm -rf .venv $(EMULATOR) $(AUDIT) $(RUNTIME) $(DEPLOYED) $(BENCH) .aws-sam .local .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage

.venv/installed: requirements/bootstrap.txt requirements/dev.txt
	@echo "Making .venv" >&2
	@rm -rf .venv && "$$(local/find-python)" -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

# With bytecode, beside the sources, where starts are measured: Lambda's own runtime is thought to have it (docs/decisions/19).
$(RUNTIME)/installed $(BENCH)/installed: COMPILE := --compile-bytecode
define environment
	@echo "Making $(@D)" >&2
	@rm -rf $(@D) && "$$(local/find-python)" -m venv --without-pip $(@D)
	@env -u PYTHONPYCACHEPREFIX $(BIN)/uv pip install --quiet $(COMPILE) --python $(@D)/bin/python --require-hashes -r $<
	@touch $@
endef
.venv-%/installed: requirements/%.txt | .venv/installed
	$(environment)

$(DEPLOYED)/installed: functions/requirements.txt | .venv/installed
	$(environment)
