"""Messages to the core's types and back. Nothing here keeps state or talks to ROS."""
