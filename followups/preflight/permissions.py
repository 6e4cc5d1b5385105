"""What preflight's caller needs: to read, and nothing else (docs/adopting.md holds the same as a policy)."""

PERMISSIONS = (
    "cloudformation:DescribeStacks the stack",
    "cloudformation:ListStackResources the stack: which names are its own",
    "cloudformation:DescribeStackResources any stack: who else has a name",
    "cloudwatch:GetDashboard the dashboard",
    "dynamodb:DescribeTable the four tables",
    "dynamodb:DescribeTimeToLive those that are there already",
    "dynamodb:DescribeContinuousBackups those that are there already",
    "kms:DescribeKey KmsKeyArn and the keys that tables and secret are under, if any",
    "lambda:GetAccountSettings the account's concurrency",
    "lambda:GetFunctionConfiguration ProcessPaidOrder, and our functions' names",
    "logs:DescribeLogGroups our log groups' names",
    "scheduler:GetScheduleGroup the schedule group's name",
    "secretsmanager:DescribeSecret the secret: its key",
    "secretsmanager:GetSecretValue the secret: its shape, of which nothing is printed",
    "servicequotas:ListServiceQuotas Scheduler's quotas",
    "ses:GetAccount the sandbox",
    "ses:GetEmailIdentity the sender's identity; in the sandbox the recipients'",
    "sns:GetTopicAttributes the alarm topic",
)
