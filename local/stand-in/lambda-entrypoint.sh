#!/bin/sh
# As in AWS's base image: the handler is the only argument; without a runtime API the emulator plays one.
export _HANDLER="${1:?the handler is the first argument}"
[ -n "${AWS_LAMBDA_RUNTIME_API:-}" ] || exec /usr/local/bin/aws-lambda-rie /var/runtime/bootstrap
exec /var/runtime/bootstrap
