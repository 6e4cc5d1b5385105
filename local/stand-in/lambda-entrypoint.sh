#!/bin/sh
# As in AWS's base image, the handler is the only argument.
export _HANDLER="${1:?the handler is the first argument}"
exec /var/runtime/bootstrap
