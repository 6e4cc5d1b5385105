#!/var/lang/bin/python3.12
"""What AWS's base image starts, and `make debug` starts under the debugger: the runtime client with the handler."""

import os
import sys

from awslambdaric.__main__ import main

sys.path[0] = os.environ["LAMBDA_TASK_ROOT"]
main([sys.argv[0], os.environ["_HANDLER"]])
