"""The only place that imports rclpy or messages."""
