"""Scores with an endpoint by azure-ai-ml (v2): the SDK fetches the token and calls the gateway. See README.md."""

import json
import os
import tempfile

from azure.ai.ml import MLClient
from azure.identity import ClientSecretCredential

credential = ClientSecretCredential(
    tenant_id=os.environ["AZURE_TENANT_ID"],
    client_id=os.environ["AZURE_CLIENT_ID"],
    client_secret=os.environ["AZURE_CLIENT_SECRET"],
    authority=os.environ["WSTS_URL"],
    # Else Microsoft is asked whether this authority is one of theirs.
    disable_instance_discovery=True,
)
client = MLClient(
    credential,
    subscription_id=os.environ["AZURE_SUBSCRIPTION_ID"],
    resource_group_name=os.environ["AZURE_RESOURCE_GROUP"],
    workspace_name=os.environ["AZUREML_WORKSPACE"],
)
name = os.environ["AZUREML_WEBSERVICE"]

# For callers that send their requests by themselves: a token, and when to fetch the next one.
token = client.online_endpoints.get_keys(name)
print(f"a token of {len(token.access_token)} characters, to be renewed after {token.refresh_after_time_utc}")

# Or let the SDK do both.
with tempfile.NamedTemporaryFile("w", suffix=".json") as request:
    json.dump({"data": [[1, 2, 3]]}, request)
    request.flush()
    print(client.online_endpoints.invoke(endpoint_name=name, request_file=request.name))
